"""One object per phase with the repository's verbs: a phase that has no route cannot be constructed."""
