"""The numbers: Gram matrices, centring, packing, CKA. It knows tensors and arrays only."""
