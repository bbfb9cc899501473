package peftgraph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/peftgraph/peftgraph"
	"github.com/peftgraph/peftgraph/inject"
)

// From a pretrained encoder and labelled text to a model that can be deployed, proven against the trained one.
func Example() {
	ctx := context.Background()
	lora, err := peftgraph.NewMethod("lora", "rank=8", "target=query,value")
	if err != nil {
		log.Fatal(err)
	}
	model, err := peftgraph.Open("model/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	run, err := model.Train(ctx, peftgraph.TrainOptions{Output: "run", Data: []string{"train.tsv"}, Eval: []string{"dev.tsv"},
		InjectOptions: peftgraph.InjectOptions{Methods: []inject.Method{lora}}})
	if err != nil {
		log.Fatal(err)
	}
	exported, err := run.Export(ctx, peftgraph.ExportOptions{Path: "deploy/model.onnx", Data: "test.tsv"})
	if err != nil {
		log.Fatal(err)
	}
	proof := exported.Forms[0].Comparison
	fmt.Println(proof.Examples, "texts,", proof.Outputs[0].Flips, "label flips")
	// Output: 8 texts, 0 label flips
}

// A web service with two adapters on one base: requests that come at the same time, whichever adapter they are for, are
// computed in one batch; one whose client has gone isn't waited for.
func ExampleJoin() {
	var runs []peftgraph.Named
	for _, name := range []string{"sentiment", "topic"} {
		run, err := peftgraph.OpenRun(name)
		if err != nil {
			log.Fatal(err)
		}
		runs = append(runs, peftgraph.Named{Name: name, Run: run})
	}
	joint, err := peftgraph.Join(runs...)
	if err != nil {
		log.Fatal(err)
	}
	predictor, err := joint.Predictor(context.Background(), peftgraph.PredictorOptions{BatchSize: 32, Delay: 2 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	defer predictor.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{adapter}", func(w http.ResponseWriter, r *http.Request) {
		request := peftgraph.Request{Adapter: r.PathValue("adapter"), Text: r.FormValue("text")}
		answers, err := predictor.PredictEach(r.Context(), request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(answers[0])
	})

	server := httptest.NewServer(mux) // a program would say http.ListenAndServe(":8080", mux)
	defer server.Close()
	for _, adapter := range predictor.Adapters() {
		response, err := http.Get(server.URL + "/" + adapter + "?text=" + url.QueryEscape("a good film"))
		if err != nil {
			log.Fatal(err)
		}
		var answer struct {
			Task, Text string
			Logits     []float32
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
		fmt.Println(answer.Task, "has", len(answer.Logits), "labels:", answer.Text)
	}
	// Output:
	// sentiment has 2 labels: a good film
	// topic has 3 labels: a good film
}
