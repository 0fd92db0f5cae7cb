"""What was given as data: folders, tables, arrays, loaders, data sets; ids, labels, fingerprints.

It may know preparations (`adapters`) and the sample; not how models run."""
