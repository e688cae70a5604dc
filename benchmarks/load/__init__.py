"""Our server and Kamailio under the same load, in turn: ``make bench``."""
