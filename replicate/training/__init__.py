"""How networks are trained: classifier lanes, and one module per generator family."""
