"""What tests of studies share."""


def of(trials, stage, **settings):
    """The trials of a stage that have these settings."""
    return [
        t
        for t in trials
        if t.stage == stage and all(t.settings.get(k) == v for k, v in settings.items())
    ]
