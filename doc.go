// Package peftgraph fine-tunes encoders of the BERT family that are ONNX files, with LoRA and other parameter-efficient methods,
// and writes graphs that can be deployed, proven against what was trained. It needs a stock onnxruntime and no Python.
//
// # The road
//
//	model, err := peftgraph.Open("model/model.onnx")                    // what is it? Model.Inspect says
//	lora, err := peftgraph.NewMethod("lora", "rank=8")                  // methods: see inject.Names
//	run, err := model.Train(ctx, peftgraph.TrainOptions{                // injects, trains, keeps the best
//		Output: "run", Data: []string{"train.tsv"}, Eval: []string{"dev.tsv"},
//		InjectOptions: peftgraph.InjectOptions{Methods: []inject.Method{lora}},
//	})
//	score, err := run.Evaluate(ctx, peftgraph.EvaluateOptions{Data: []string{"test.tsv"}})
//	exported, err := run.Export(ctx, peftgraph.ExportOptions{Path: "deploy/model.onnx"})
//
// Open recognises the encoder by its structure. [Model.Train] writes a run folder: the best adapter in Hugging Face PEFT's layout,
// metrics as JSON lines, and what going on needs. It can be opened again with [OpenRun], also one that the train command made.
// [Run.Export] merges the adapter into the weights, or leaves it beside them ([Form]); the file takes its place only once it
// computes what the trained model does.
//
// A training is told to stop by its context: the running step is finished and saved, the error is a [*train.InterruptedError],
// and [Resume] goes on to the same bits. Watch.Report hears of every step.
//
// # Answers
//
// [Run.Predictor] makes a [Predictor] that any number of goroutines may ask: what waits is computed together, in batches of texts
// of like lengths. [Join] puts several runs on one base into one graph, with the base's weights there once; its predictor takes
// requests for all of them, mixed in one batch, and its export is one file for all. A call whose context ends returns at once.
// Close ends the predictor's goroutine and frees the model.
//
// What an answer is, the task says: a [Prediction] has it as the task's own type, as lines for a person, and as JSON. Tasks are
// those of [task.Names]; [NewTask] makes one with settings, and without one a head classifies.
//
// # Other people's adapters
//
// [OpenAdapter] reads PEFT's folders, AdapterHub's, onnxruntime's .onnx_adapter files and injected models; [Model.WithAdapter] puts
// one on a model, [Adapter.Save] writes another format, and [CombineAdapters] and [DiffAdapters] work on several.
//
// # Proofs
//
// [Compare] runs two models on the same inputs. [Model.CheckGradients] compares the gradients that training follows with central
// differences. An export that isn't proven and a comparison past its threshold are a [*DiffersError].
//
// # Where it runs
//
// Every options struct has an [Engine]: the library, the provider, the threads, and who is told of progress and of what isn't an
// error and yet may not be what was meant. The zero value uses the libonnxruntime that is found, on its fastest provider;
// Install gets one where there is none.
//
// # Errors
//
// They are one line, and say what and where. [Hint] returns what to try, if an error knows. A [*SettingError] is about an option.
//
// The packages below say more of each part: inject of methods and heads, train of settings and run folders, train/data of reading
// text, models of encoders, runtime of onnxruntime, graph of the representation beneath.
package peftgraph
