"""The tracker service: the catalog for a team, with MLflow's own permissions.

It needs the extra ``checkpoint-tracker[server]``. ``app.py`` puts it together; ``viewer.py`` asks
MLflow who asks and what they may read; ``following.py`` keeps the catalog in step with MLflow;
``checkpoints.py``, ``places.py`` and ``registered.py`` are the JSON API, which reads and nothing
else; ``guards.py`` refuses what is too large, too slow or for another host; ``answers.py`` turns
errors into JSON; ``pages.py`` is what people see, with ``page_errors.py``; ``serve.py`` runs it.
"""
