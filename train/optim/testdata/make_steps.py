"""Writes steps.json: what PyTorch's optimizers and schedules do to a small vector (pip install torch transformers)."""
import json
import torch
from transformers import get_scheduler

torch.manual_seed(0)
start = torch.randn(8, dtype=torch.float32)
grads = torch.randn(12, 8, dtype=torch.float32)
out = {"start": start.tolist(), "grads": grads.tolist(), "optimizers": {}, "schedules": {}}
build = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
}
for name, make in build.items():
    p = torch.nn.Parameter(start.clone())
    opt = make([p])
    rows = []
    for g in grads:
        p.grad = g.clone()
        torch.nn.utils.clip_grad_norm_([p], 1.0)
        opt.step()
        rows.append(p.detach().tolist())
    out["optimizers"][name] = rows
for name in ["linear", "cosine", "constant"]:
    p = torch.nn.Parameter(start.clone())
    opt = torch.optim.SGD([p], lr=1.0)
    s = get_scheduler("constant_with_warmup" if name == "constant" else name, opt, num_warmup_steps=3, num_training_steps=12)
    rows = []
    for _ in range(12):
        rows.append(opt.param_groups[0]["lr"])
        opt.step()
        s.step()
    out["schedules"][name] = rows
json.dump(out, open("steps.json", "w"))
