"""How each system tells of the world: one file a system, with a function `deliver(world, out)` that writes its files and its truth."""
