"""The block types that every server has: slug, name, what the blocks can do, and their fields.

Slugs, names, capabilities and fields are those of 2.20.26; a client that knows a type better
describes it anew and registers its own schema beside ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

VERSION = "reeve"  # of our schemas: clients look up their own versions, and so never take ours for theirs

RUNS = ("run-infrastructure",)
FILES = ("get-directory", "put-directory", "read-path", "write-path")

TEXT: dict[str, Any] = {"type": "string"}
SECRET: dict[str, Any] = {"type": "string", "writeOnly": True, "format": "password"}
NUMBER: dict[str, Any] = {"type": "integer"}
FLAG: dict[str, Any] = {"type": "boolean"}
TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
NAMED_TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECT: dict[str, Any] = {"type": "object"}
ANYTHING: dict[str, Any] = {}

_LAUNCHED = {"env": NAMED_TEXTS, "labels": NAMED_TEXTS, "name": TEXT, "command": TEXTS, "stream_output": FLAG}


class SystemBlock(NamedTuple):
    """A type, and the fields of its blocks as JSON schemas."""

    slug: str
    name: str
    description: str
    properties: dict[str, dict[str, Any]]
    required: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    secret_below: tuple[str, ...] = ()  # fields whose values are all secret

    @property
    def fields(self) -> dict[str, Any]:
        """Return the schema of the type's blocks as 2.20 lays it out."""
        secrets = [name for name, one in self.properties.items() if one is SECRET]
        properties = {name: {"title": _title(name), **one} for name, one in self.properties.items()}
        return {
            "title": self.name,
            "type": "object",
            "description": self.description,
            "properties": properties,
            **({"required": list(self.required)} if self.required else {}),
            "block_type_slug": self.slug,
            "secret_fields": [*secrets, *(f"{name}.*" for name in self.secret_below)],
            "block_schema_references": {},
        }


def _title(name: str) -> str:
    return name.replace("_", " ").title()


SYSTEM_BLOCKS = (
    SystemBlock(
        "process",
        "Process",
        "Runs a flow in a process of the agent's machine.",
        {**_LAUNCHED, "working_dir": TEXT},
        capabilities=RUNS,
    ),
    SystemBlock(
        "docker-container",
        "Docker Container",
        "Runs a flow in a container of a Docker daemon.",
        {
            **_LAUNCHED,
            "image": TEXT,
            "image_pull_policy": TEXT,
            "networks": TEXTS,
            "network_mode": TEXT,
            "auto_remove": FLAG,
            "volumes": TEXTS,
            "mem_limit": TEXT,
            "memswap_limit": TEXT,
            "privileged": FLAG,
        },
        capabilities=RUNS,
    ),
    SystemBlock(
        "docker-registry",
        "Docker Registry",
        "Who pulls images from a registry.",
        {"username": TEXT, "password": SECRET, "registry_url": TEXT, "reauth": FLAG},
        ("username", "password", "registry_url"),
        ("docker-login",),
    ),
    SystemBlock(
        "kubernetes-job",
        "Kubernetes Job",
        "Runs a flow as a job of a Kubernetes cluster.",
        {
            **_LAUNCHED,
            "image": TEXT,
            "namespace": TEXT,
            "service_account_name": TEXT,
            "image_pull_policy": TEXT,
            "job": OBJECT,
            "customizations": {"type": "array", "items": OBJECT},
            "job_watch_timeout_seconds": NUMBER,
            "pod_watch_timeout_seconds": NUMBER,
            "finished_job_ttl": NUMBER,
        },
        capabilities=RUNS,
    ),
    SystemBlock(
        "kubernetes-cluster-config",
        "Kubernetes Cluster Config",
        "How a Kubernetes cluster is reached.",
        {"config": OBJECT, "context_name": TEXT},
        ("config", "context_name"),
    ),
    SystemBlock("secret", "Secret", "A text that is shown to nobody.", {"value": SECRET}, ("value",)),
    SystemBlock("json", "JSON", "Any JSON value.", {"value": ANYTHING}, ("value",)),
    SystemBlock("string", "String", "A text.", {"value": TEXT}, ("value",)),
    SystemBlock(
        "date-time", "Date Time", "An instant.", {"value": {**TEXT, "format": "date-time"}}, ("value",)
    ),
    SystemBlock(
        "webhook",
        "Webhook",
        "An address that is called.",
        {"method": TEXT, "url": SECRET, "allow_private_urls": FLAG, "headers": NAMED_TEXTS},
        ("url",),
        secret_below=("headers",),
    ),
    SystemBlock(
        "slack-webhook",
        "Slack Webhook",
        "Tells a channel of Slack.",
        {"notify_type": TEXT, "url": SECRET, "allow_private_urls": FLAG},
        ("url",),
        ("notify",),
    ),
    SystemBlock(
        "local-file-system",
        "Local File System",
        "Files of the machine on which code runs.",
        {"basepath": TEXT},
        capabilities=FILES,
    ),
    SystemBlock(
        "remote-file-system",
        "Remote File System",
        "Files of a store that fsspec reaches.",
        {"basepath": TEXT, "settings": OBJECT},
        ("basepath",),
        FILES,
    ),
    SystemBlock(
        "s3",
        "S3",
        "Files of a bucket of AWS.",
        {"bucket_path": TEXT, "aws_access_key_id": SECRET, "aws_secret_access_key": SECRET},
        ("bucket_path",),
        FILES,
    ),
    SystemBlock(
        "gcs",
        "GCS",
        "Files of a bucket of Google Cloud.",
        {"bucket_path": TEXT, "service_account_info": SECRET, "project": TEXT},
        ("bucket_path",),
        FILES,
    ),
    SystemBlock(
        "azure",
        "Azure",
        "Files of a container of Azure.",
        {
            "bucket_path": TEXT,
            "azure_storage_connection_string": SECRET,
            "azure_storage_account_name": SECRET,
            "azure_storage_account_key": SECRET,
            "azure_storage_tenant_id": SECRET,
            "azure_storage_client_id": SECRET,
            "azure_storage_client_secret": SECRET,
            "azure_storage_anon": FLAG,
            "azure_storage_container": SECRET,
        },
        ("bucket_path",),
        FILES,
    ),
    SystemBlock(
        "smb",
        "SMB",
        "Files of a share.",
        {
            "share_path": TEXT,
            "smb_username": SECRET,
            "smb_password": SECRET,
            "smb_host": TEXT,
            "smb_port": NUMBER,
        },
        ("share_path", "smb_host"),
        FILES,
    ),
    SystemBlock(
        "github",
        "GitHub",
        "Files of a repository.",
        {"repository": TEXT, "reference": TEXT, "access_token": SECRET, "include_git_objects": FLAG},
        ("repository",),
        ("get-directory",),
    ),
)
