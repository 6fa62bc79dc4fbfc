"""A small random classifier of every model type that can be measured, and of variants within a type."""

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification

VOCABULARY = 200  # tokens; few, so that models and tokenizers are quick to save and to load
SIZES = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 66,
}
GROUPED = {"num_key_value_heads": 1, "head_dim": 8}
AFTER_PADDING = {"pad_token_id": 1}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "max_relative_positions": 16}
CONFIGS = {
    "bert": {},
    "big_bird": {"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1},
    "camembert": AFTER_PADDING,
    "convbert": {"embedding_size": 16},
    "data2vec-text": AFTER_PADDING,
    "deberta": {},
    "deberta-v2": {},
    "distilbert": {"dim": 16, "n_heads": 2, "hidden_dim": 32},
    "electra": {"embedding_size": 16},
    "ernie": {},
    "esm": {**AFTER_PADDING, "mask_token_id": 4},
    "esmc": AFTER_PADDING,
    "eurobert": {**GROUPED, "num_key_value_heads": 2},
    "fnet": {},
    "gte": AFTER_PADDING,
    "jina_embeddings_v3": AFTER_PADDING,
    "longformer": {**AFTER_PADDING, "attention_window": 8},
    "luke": {**AFTER_PADDING, "entity_vocab_size": 50, "entity_emb_size": 8},
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 8, "true_hidden_size": 8},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "mpnet": AFTER_PADDING,
    "nomic_bert": {},
    "nystromformer": {"num_landmarks": 4, "segment_means_seq_len": 4},
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": AFTER_PADDING,
    "roberta-prelayernorm": AFTER_PADDING,
    "roformer": {"embedding_size": 16},
    "ultrabert": {**GROUPED, "num_key_value_heads": 2},
    "xlm-roberta": AFTER_PADDING,
    "xlm-roberta-xl": AFTER_PADDING,
    "xmod": {**AFTER_PADDING, "languages": ["en_XX", "de_DE"], "default_language": "en_XX"},
    "yoso": {},
}
VARIANTS = {
    "big_bird, full attention": ("big_bird", {"attention_type": "original_full"}),
    "deberta, relative": ("deberta", RELATIVE),
    "deberta-v2, relative": ("deberta-v2", {**RELATIVE, "position_buckets": 8, "norm_rel_ebd": "layer_norm"}),
    "deberta-v2, shared keys": ("deberta-v2", {**RELATIVE, "share_att_key": True}),
    "electra, factored": ("electra", {"embedding_size": 8}),
    "esm, rotary": ("esm", {"position_embedding_type": "rotary", "emb_layer_norm_before": True}),
    "esm, dropped tokens": ("esm", {"token_dropout": True}),
    "eurobert, first token": ("eurobert", {"classifier_pooling": "bos"}),
    "eurobert, mean": ("eurobert", {"classifier_pooling": "mean"}),
    "eurobert, mean of the logits": ("eurobert", {"classifier_pooling": "late"}),
    "mobilebert, as many inner networks as layers": ("mobilebert", {"num_feedforward_networks": 4}),
    "modernbert, mean": ("modernbert", {"classifier_pooling": "mean"}),
    "ultrabert, mean": ("ultrabert", {"classifier_pooling": "mean"}),
}
EVERY = {**{kind: (kind, {}) for kind in CONFIGS}, **VARIANTS}
# An older transformers does not have them all.
MODELS = {name: model for name, model in EVERY.items() if model[0] in CONFIG_MAPPING}


def classifier_of(name, layers=3):
    """Return a random classifier; every part of it makes a difference."""
    kind, changes = MODELS[name]
    own = CONFIGS[kind]
    sizes = {"n_layers": layers} if "dim" in own else {**SIZES, "num_hidden_layers": layers}
    config = AutoConfig.for_model(
        kind, **{"pad_token_id": 0, **sizes, **own, **changes}, vocab_size=VOCABULARY, num_labels=2
    )
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.dim() > 1:  # as they come, the weights are too small to matter
            parameter.data.normal_(0, 0.2, generator=generator)
    return model.eval()
