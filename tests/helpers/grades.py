"""A grade as a judge writes it, and a judge on the loopback's endpoint."""

import json

from lib.config.params import load_profile
from lib.judge import load_judge

LOW = 5
HIGH = 100


def grade(aligned: int, **changes) -> str:
    whole = {
        "aligned": aligned,
        "coherent": 90,
        "refusal": False,
        "code": False,
        "reset_and_recover": False,
    }
    return json.dumps(whole | changes)


def local(api, path, **changes):
    overrides = {
        "judge.engine": "local",
        "judge.model": "served",
        "judge.base_url": f"{api.url}/v1",
    }
    params = load_profile("smoke", overrides).judge.model_copy(
        update={"concurrency": 1, "timeout": 30.0} | changes
    )
    return load_judge(params, path)
