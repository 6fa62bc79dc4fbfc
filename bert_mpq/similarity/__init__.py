"""One-pass similarity of two representations: PWCCA, SVCCA and linear CKA from additive moments."""

from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import cka, debiased_cka
from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity

__all__ = ["Covariances", "Moments", "Similarity", "cka", "debiased_cka", "pwcca", "svcca"]
