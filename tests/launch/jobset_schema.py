"""The schema of a JobSet, by the documentation of jobset.x-k8s.io/v1alpha2; all else is refused."""


def _strict(required=(), **properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_LABELS = {"type": "object", "additionalProperties": _TEXT}
_ACTIONS = [
    "FailJobSet",
    "RestartJobSet",
    "RestartJobSetAndIgnoreMaxRestarts",
    "RestartJob",
    "RestartJobAndIgnoreMaxRestarts",
]
_RULE = _strict(
    ("name", "action"),
    name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
    action={"enum": _ACTIONS},
    onJobFailureReasons={
        "type": "array",
        "uniqueItems": True,
        "items": {
            "enum": [
                "BackoffLimitExceeded",
                "DeadlineExceeded",
                "FailedIndexes",
                "MaxFailedIndexesExceeded",
                "PodFailurePolicy",
            ]
        },
    },
    onJobFailureMessagePatterns=_TEXTS,
    targetReplicatedJobs=_TEXTS,
)

JOBSET = _strict(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
    kind={"const": "JobSet"},
    metadata=_strict(("name",), name=_TEXT, namespace=_TEXT, labels=_LABELS, annotations=_LABELS),
    spec=_strict(
        ("replicatedJobs",),
        replicatedJobs={
            "type": "array",
            "minItems": 1,
            "items": _strict(
                ("name", "template"),
                name=_TEXT,
                groupName=_TEXT,
                replicas=_COUNT,
                # A JobTemplateSpec of core Kubernetes, which has a schema of its own.
                template={"type": "object"},
                dependsOn={
                    "type": "array",
                    "items": _strict(
                        ("name", "status"), name=_TEXT, status={"enum": ["Ready", "Complete"]}
                    ),
                },
            ),
        },
        network=_strict(enableDNSHostnames=_FLAG, subdomain=_TEXT, publishNotReadyAddresses=_FLAG),
        successPolicy=_strict(
            ("operator",), operator={"enum": ["All", "Any"]}, targetReplicatedJobs=_TEXTS
        ),
        failurePolicy=_strict(
            maxRestarts=_COUNT,
            restartStrategy={"enum": ["Recreate", "BlockingRecreate", "InPlaceRestart"]},
            rules={"type": "array", "items": _RULE},
        ),
        coordinator=_strict(
            ("replicatedJob",), replicatedJob=_TEXT, jobIndex=_COUNT, podIndex=_COUNT
        ),
        suspend=_FLAG,
        managedBy=_TEXT,
        ttlSecondsAfterFinished=_COUNT,
    ),
)
