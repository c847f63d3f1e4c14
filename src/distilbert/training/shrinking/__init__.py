"""Shrinking: a fine-tuned model becomes one that is faster by a stated factor and loses no more than is allowed.

Begin reading with :func:`.shrinker.shrink`. ``importance`` measures what each attention head and feed-forward column
does for the model's answers, ``time_model`` what they cost on this machine, ``smaller_model`` decides what stays and
builds it. Then fine-tuning teaches it the answers of the model that it was cut from.
"""
