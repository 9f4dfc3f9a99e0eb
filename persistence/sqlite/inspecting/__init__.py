"""What a look at a log from outside finds, behind damage too."""
