"""What to do about a name of transformers that this package does not have; docs/transformers.md lists the groups."""

from __future__ import annotations

from .errors import suggest

_TAKES_OURS = "it takes models, tokenizers and configurations of this package"
_HEADS = (
    "ForMaskedLM", "ForMultipleChoice", "ForQuestionAnswering", "ForSequenceClassification", "ForTokenClassification",
    "Model",
)  # fmt: skip

# Names that are imported from transformers as before.
STAYING = (
    "Trainer", "TrainingArguments", "TrainerCallback", "TrainerControl", "TrainerState", "EarlyStoppingCallback",
    "DefaultFlowCallback", "PrinterCallback", "ProgressCallback", "EvalPrediction", "IntervalStrategy",
    "SchedulerType", "HfArgumentParser", "DataCollator", "DataCollatorWithPadding",
    "DataCollatorForTokenClassification", "DataCollatorForLanguageModeling", "DataCollatorForMultipleChoice",
    "DefaultDataCollator", "default_data_collator", "get_scheduler", "get_constant_schedule",
    "get_constant_schedule_with_warmup", "get_linear_schedule_with_warmup", "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup", "get_polynomial_decay_schedule_with_warmup",
    "get_inverse_sqrt_schedule", "Adafactor", "enable_full_determinism",
)  # fmt: skip
_KERAS_OPTIMIZER = "take keras.optimizers.AdamW, with a keras.optimizers.schedules.PolynomialDecay as its learning rate"
_NOT_A_DISTILBERT = "a DistilBERT is an encoder that reads text, and has no such class"
_BERT_TOKENIZER = (
    "makes the same ids; it returns token_type_ids only if the call says return_token_type_ids=True, and models need "
    "none"
)
# Other names, and what does their work here.
INSTEAD = {
    "set_seed": "call torch.manual_seed(seed) or keras.utils.set_random_seed(seed); models of Flax take seed=. "
    "Or: from transformers import set_seed",
    "logging": 'take Python\'s: logging.getLogger("distilbert").setLevel(logging.ERROR)',
    "is_torch_available": 'ask importlib.util.find_spec("torch") is not None',
    "is_tf_available": 'ask importlib.util.find_spec("tensorflow") is not None',
    "is_flax_available": 'ask importlib.util.find_spec("flax") is not None',
    "AdamW": "take torch.optim.AdamW",
    "create_optimizer": _KERAS_OPTIMIZER,
    "AdamWeightDecay": _KERAS_OPTIMIZER,
    "WarmUp": _KERAS_OPTIMIZER,
    "BertTokenizer": f"DistilBertTokenizer {_BERT_TOKENIZER}",
    "BertTokenizerFast": f"DistilBertTokenizerFast {_BERT_TOKENIZER}",
    "BertConfig": "take DistilBertConfig; AutoConfig.from_pretrained reads that of a BERT",
    "AutoModelWithLMHead": "take AutoModelForMaskedLM",
    "AutoModelForCausalLM": _NOT_A_DISTILBERT,
    "AutoModelForSeq2SeqLM": _NOT_A_DISTILBERT,
    "AutoModelForNextSentencePrediction": _NOT_A_DISTILBERT,
    "AutoFeatureExtractor": _NOT_A_DISTILBERT,
    "AutoImageProcessor": _NOT_A_DISTILBERT,
    "AutoProcessor": _NOT_A_DISTILBERT,
    "GenerationConfig": _NOT_A_DISTILBERT,
    "BitsAndBytesConfig": "int8 comes from `distilbert quantize`",
    "PIPELINE_REGISTRY": "derive a class from Pipeline, and give it model= and tokenizer=",
    "ChunkPipeline": "derive a class from Pipeline, or from the pipeline class of a task, which reads long texts in "
    "windows",
} | {
    f"{prefix}Bert{head}": f"{prefix}DistilBert{head}.from_pretrained loads a BERT as its DistilBERT twin"
    for prefix in ("", "TF", "Flax")
    for head in _HEADS
}


def message_for(name: str) -> str | None:
    """Return the message about a name of transformers that this package does not have; None for any other name."""
    if name in STAYING:
        return f"{name} stays in transformers: from transformers import {name}; {_TAKES_OURS}."
    if name in INSTEAD:
        return f"distilbert has no {name}: {INSTEAD[name]}."
    return None


def unknown_name(name: str, known: list[str]) -> str:
    """Return the message about a name that nothing is known of."""
    return f"module 'distilbert' has no attribute {name!r}.{suggest(name, known)}"
