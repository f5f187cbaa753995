"""Finding checkpoints and turning them back into models.

`find` asks the catalog, `resolve` turns whatever names a checkpoint into its record, `fetch` gets
the files, `restore` makes a model of them and `resume` puts training state back.
"""
