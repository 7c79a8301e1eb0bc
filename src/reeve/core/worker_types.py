"""The types of workers and the job templates that new work pools of these types begin with.

Types, collections and the names of variables are those of 2.20.26, the templates are our own: they name the
variables that workers of the type read and leave their defaults to them.
"""

from __future__ import annotations

from typing import Any

from reeve.errors import NotFoundError

TEXT: dict[str, Any] = {"type": "string"}
FLAG: dict[str, Any] = {"type": "boolean"}
NUMBER: dict[str, Any] = {"type": "integer"}
TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
NAMED_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECT: dict[str, Any] = {"type": "object"}

_COMMON = {"command": TEXT, "env": NAMED_TEXTS, "labels": NAMED_TEXTS, "name": TEXT}

_PROCESS = _COMMON | {"stream_output": FLAG | {"default": True}, "working_dir": TEXT}
_DOCKER = _COMMON | {
    "image": TEXT,
    "image_pull_policy": TEXT | {"enum": ["IfNotPresent", "Always", "Never"]},
    "networks": TEXTS,
    "network_mode": TEXT,
    "auto_remove": FLAG | {"default": False},
    "volumes": TEXTS,
    "stream_output": FLAG | {"default": True},
    "mem_limit": TEXT,
    "memswap_limit": TEXT,
    "privileged": FLAG | {"default": False},
}
_KUBERNETES = _COMMON | {
    "namespace": TEXT | {"default": "default"},
    "image": TEXT,
    "service_account_name": TEXT,
    "image_pull_policy": TEXT | {"default": "IfNotPresent", "enum": ["IfNotPresent", "Always", "Never"]},
    "finished_job_ttl": NUMBER,
    "job_watch_timeout_seconds": NUMBER,
    "pod_watch_timeout_seconds": NUMBER | {"default": 60},
    "stream_output": FLAG | {"default": True},
}
_KUBERNETES_JOB: dict[str, Any] = {
    "command": "{{ command }}",
    "env": "{{ env }}",
    "labels": "{{ labels }}",
    "name": "{{ name }}",
    "namespace": "{{ namespace }}",
    "job_watch_timeout_seconds": "{{ job_watch_timeout_seconds }}",
    "pod_watch_timeout_seconds": "{{ pod_watch_timeout_seconds }}",
    "stream_output": "{{ stream_output }}",
    "job_manifest": {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": "{{ labels }}", "namespace": "{{ namespace }}", "generateName": "{{ name }}-"},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "parallelism": 1,
            "completions": 1,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": "{{ service_account_name }}",
                    "containers": [
                        {
                            "name": "prefect-job",
                            "env": "{{ env }}",
                            "image": "{{ image }}",
                            "imagePullPolicy": "{{ image_pull_policy }}",
                            "args": "{{ command }}",
                        }
                    ],
                }
            },
        },
    },
}


def _type(
    name: str,
    shown: str,
    description: str,
    variables: dict[str, Any],
    job: dict[str, Any] | None = None,
    *,
    install: str = "pip install prefect",
) -> dict[str, Any]:
    """Return what is known of one type; without a ``job`` each variable stands for itself."""
    job = {variable: f"{{{{ {variable} }}}}" for variable in variables} if job is None else job
    properties = {
        variable: {"title": variable.replace("_", " ").title(), **one} for variable, one in variables.items()
    }
    return {
        "type": name,
        "display_name": shown,
        "description": description,
        "documentation_url": None,
        "logo_url": None,
        "install_command": install,
        "is_beta": False,
        "default_base_job_configuration": {
            "job_configuration": job,
            "variables": {"type": "object", "properties": properties},
        },
    }


_AGENT = _type(
    "prefect-agent", "Prefect Agent", "Runs are started by agents, as infrastructure blocks say.", {}
)
_AGENT["default_base_job_configuration"] = {}  # pools of agents have no template: blocks stand for it

VIEWS: dict[str, dict[str, Any]] = {
    "aggregate-worker-metadata": {
        "prefect": {
            "prefect-agent": _AGENT,
            "process": _type(
                "process", "Local Subprocess", "Runs are processes on the machine of a worker.", _PROCESS
            ),
        },
        "prefect-docker": {
            "docker": _type(
                "docker",
                "Docker",
                "Runs are containers of a Docker daemon.",
                _DOCKER,
                install="pip install prefect-docker",
            )
        },
        "prefect-kubernetes": {
            "kubernetes": _type(
                "kubernetes",
                "Kubernetes",
                "Runs are jobs of a Kubernetes cluster.",
                _KUBERNETES,
                _KUBERNETES_JOB,
                install="pip install prefect-kubernetes",
            )
        },
    }
}


def view(name: str) -> dict[str, Any]:
    """Return a view of the collections by its name; raises NotFoundError."""
    if name not in VIEWS:
        raise NotFoundError(f"View {name} not found in registry")
    return VIEWS[name]
