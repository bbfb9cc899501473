"""Writes embedding_losses.json beside it: what sentence-transformers' losses and their gradients with respect to the embeddings
are (pip install sentence-transformers torch). Embeddings are [members·units, dimension], the units' first texts first."""
import json
import os

import sentence_transformers
import torch
from sentence_transformers.sentence_transformer import losses

torch.manual_seed(0)
UNITS, DIM = 5, 4


def case(name, settings, members, loss, labels=None, dtype=torch.float64):
    x = torch.randn(members * UNITS, DIM, dtype=dtype, requires_grad=True)
    value = loss.compute_loss_from_embeddings(list(x.chunk(members)), labels)
    value.backward()
    return {"name": name, "settings": settings, "embeddings": x.detach().flatten().tolist(), "loss": value.item(),
            "gradient": x.grad.flatten().tolist(), "scores": None if labels is None else labels.tolist()}


# CosineSimilarityLoss makes the scores float32, and its loss wants one type.
scores = torch.tensor([0.125, 0.875, 0.5, 0.5, 1.0])
Distance = losses.TripletDistanceMetric
cases = [
    case("pairs", {"loss": "multiple-negatives-ranking"}, 2, losses.MultipleNegativesRankingLoss(None)),
    case("scale", {"loss": "multiple-negatives-ranking", "scale": "5"}, 2, losses.MultipleNegativesRankingLoss(None, scale=5)),
    case("negatives", {"loss": "multiple-negatives-ranking", "hard-negatives": "true"}, 3, losses.MultipleNegativesRankingLoss(None)),
    case("symmetric", {"loss": "multiple-negatives-ranking", "symmetric": "true"}, 2,
         losses.MultipleNegativesSymmetricRankingLoss(None)),
    case("symmetric negatives", {"loss": "multiple-negatives-ranking", "symmetric": "true", "hard-negatives": "true"}, 3,
         losses.MultipleNegativesSymmetricRankingLoss(None)),
    case("cosine", {"loss": "cosine-similarity"}, 2, losses.CosineSimilarityLoss(None), scores, torch.float32),
    case("cosent", {"loss": "cosent"}, 2, losses.CoSENTLoss(None), scores),
    case("triplet", {"loss": "triplet"}, 3, losses.TripletLoss(None, Distance.COSINE, 0.5)),
    case("triplet euclidean", {"loss": "triplet", "distance": "euclidean", "margin": "5"}, 3, losses.TripletLoss(None)),
]
with open(os.path.join(os.path.dirname(__file__), "embedding_losses.json"), "w") as f:
    json.dump({"by": f"sentence-transformers {sentence_transformers.__version__}", "units": UNITS, "dimension": DIM, "cases": cases}, f, indent=0)
    f.write("\n")
