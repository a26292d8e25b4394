"""The frame-level distillation loss, ensemble averaging and the soft-target store. Needs torch alone."""
