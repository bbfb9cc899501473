// Loads a folder with transformers.js and compares its answers with peftgraph's. Nothing is fetched.
//
//   npm i @huggingface/transformers
//   peftgraph predict --json FOLDER < texts.txt > answers.jsonl
//   node check_transformers_js.mjs FOLDER answers.jsonl [LARGEST DIFFERENCE]
//
// Node looks for the package where this file lies: copy it beside node_modules. In a folder of layout flat the model is not in
// onnx/, and the pipeline is told so. A text that is too long is left out: transformers.js cuts the last special token off with
// the rest. Made and tried with @huggingface/transformers 4.3.1 on Node 20.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { env, pipeline } from '@huggingface/transformers';

const [folder, file, limit = '1e-5'] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = path.dirname(path.resolve(folder)) + '/';
const answers = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const options = { dtype: 'fp32' };
if (!existsSync(path.join(folder, 'onnx'))) options.subfolder = '';

const architecture = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')).architectures[0];
const tasks = { SequenceClassification: 'text-classification', TokenClassification: 'token-classification', QuestionAnswering: 'question-answering' };
const task = tasks[architecture.split('For')[1]];
const pipe = await pipeline(task, path.basename(path.resolve(folder)), options);

let worst = 0;
let left = 0;
const wrong = [];
for (const a of answers) {
  if (task !== 'question-answering' && pipe.tokenizer.encode(a.text).length > pipe.tokenizer.model_max_length) {
    left++;
    continue;
  }
  if (task === 'question-answering') {
    const { answer } = await pipe(a.text, a.pair);
    if (answer !== a.answer) wrong.push(`${a.text.slice(0, 60)}: ours ${a.answer}, theirs ${answer}`);
    continue;
  }
  if (task === 'token-classification') {
    // It has no offsets and doesn't group words: the labels of the words that are in an entity are compared.
    const theirs = (await pipe(a.text)).filter((t) => !t.word.startsWith('##')).map((t) => t.entity.replace(/^[BI]-/, ''));
    const ours = a.entities.flatMap((e) => e.text.match(/[\p{L}\p{N}\p{M}]+|[^\s\p{L}\p{N}\p{M}]/gu).map(() => e.label));
    if (ours.join() !== theirs.join()) wrong.push(`${a.text.slice(0, 60)}: ours ${ours}, theirs ${theirs}`);
    continue;
  }
  const scores = await pipe(a.text, { top_k: null });
  const expected = 'probability' in a ? { [a.label]: a.probability } : a.probabilities;
  if ('probability' in a && scores[0].label !== a.label) wrong.push(`${a.text.slice(0, 60)}: ours ${a.label}, theirs ${scores[0].label}`);
  for (const [label, p] of Object.entries(expected)) {
    const difference = Math.abs(p - scores.find((s) => s.label === label).score);
    worst = Math.max(worst, difference);
    if (!(difference <= Number(limit))) wrong.push(`${a.text.slice(0, 60)}: ${label}: differs by ${difference}`);
  }
}
for (const line of wrong) console.log(line);
console.log(`transformers.js ${env.version}, ${task} from ${folder}: ${answers.length - left} texts (${left} left out), ${wrong.length} differ, largest difference ${worst.toPrecision(2)}`);
process.exit(wrong.length || left === answers.length ? 1 : 0);
