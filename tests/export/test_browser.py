"""What a browser would run: onnxruntime-web, its WebAssembly in Node, on the CPU. WebGPU is not claimed."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from tokenizers import Tokenizer

from bert_mpq.export.onnx_classifier import MODEL, OnnxClassifier
from tests.export.formats.test_onnx import exported

SCRIPT = """
import * as ort from "onnxruntime-web";
import fs from "fs";
ort.env.wasm.numThreads = 1;
const {model, reviews} = JSON.parse(fs.readFileSync(0, "utf8"));
const session = await ort.InferenceSession.create(fs.readFileSync(model), {executionProviders: ["wasm"]});
const answers = [];
for (const ids of reviews) {
  const tensor = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, ids.length]);
  const {logits} = await session.run({input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1))});
  answers.push(Array.from(logits.data));
}
console.log(JSON.stringify(answers));
"""


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_three_reviews_have_equal_predictions_in_a_browsers_runtime(tmp_path, classifier, reviews):
    folder = tmp_path / "out"
    exported(folder, classifier.model, classifier.tokenizer, (4, 8, 4, 4, 3, 2), 64, "int8", "auto")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "onnxruntime-web"]
    subprocess.run(install, check=True, capture_output=True, timeout=240)
    (tmp_path / "run.mjs").write_text(SCRIPT)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    texts = reviews.texts[:3]
    question = {"model": str(folder / MODEL), "reviews": [tokenizer.encode(text).ids for text in texts]}
    node = ["node", str(tmp_path / "run.mjs")]
    said = subprocess.run(node, input=json.dumps(question), capture_output=True, text=True, timeout=120)
    found = np.array(json.loads(said.stdout))
    expected = OnnxClassifier(folder).logits(texts, 64)
    assert (found.argmax(1) == expected.argmax(1)).all()
    np.testing.assert_allclose(found, expected, atol=1e-3)
