"""Re-run five published studies on training image classifiers with synthetic images."""

__version__ = "0.1.0"
