"""Utterances: Lhotse cut sets in, validated; subsets."""
