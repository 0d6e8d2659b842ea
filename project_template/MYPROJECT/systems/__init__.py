"""One file a source system. A module whose name begins with an underscore is shared by the others."""
