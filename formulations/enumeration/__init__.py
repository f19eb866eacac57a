"""The pieces of layer-enumeration: parts of an instance, prices, combination of layers."""
