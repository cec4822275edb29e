"""Sealed artefacts: one frozen model per kind, and the sealer that turns them into compact JWEs and back."""
