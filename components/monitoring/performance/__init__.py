"""How right stored predictions were, with labels and before them."""
