"""Holds manifests against the schemas of Kubernetes, and their pods against the Pod Security Standard `restricted`.

Usage: kubernetes_peer.py VERSION < MANIFESTS. Prints what it found as JSON.
"""

import json
import sys

import kubernetes_validate
import yaml

# https://kubernetes.io/docs/concepts/security/pod-security-standards/, baseline and restricted.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
TEMPLATES = {
    "Pod": [],
    "CronJob": ["spec", "jobTemplate", "spec", "template"],
    **{kind: ["spec", "template"] for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")},
}


def restricted(spec):
    """What the admission controller would refuse in a pod's spec."""
    context = spec.get("securityContext") or {}
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [f"volume {v['name']}" for v in spec.get("volumes") or [] if not VOLUMES & v.keys()]
    found += ["sysctls"] if context.get("sysctls") else []
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        own = container.get("securityContext") or {}
        both = {**context, **own}
        capabilities = own.get("capabilities") or {}
        checks = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "seccompProfile": (both.get("seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost"),
            "capabilities.drop": "ALL" in (capabilities.get("drop") or []),
            "capabilities.add": set(capabilities.get("add") or []) <= {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") == "Default",
            "hostPort": not any(port.get("hostPort") for port in container.get("ports") or []),
        }
        found += [f"{container['name']}: {check}" for check, good in checks.items() if not good]
    return found


def objects(documents):
    """Those of lists one by one."""
    for document in filter(None, documents):
        yield from document["items"] if document["kind"] == "List" else [document]


def main():
    said = []
    for document in objects(yaml.safe_load_all(sys.stdin)):
        fault, unknown = None, False
        try:
            kubernetes_validate.validate(document, sys.argv[1], strict=True)
        except kubernetes_validate.ValidationError as error:
            fault = f"{error.message} at {list(error.path)}"
        except kubernetes_validate.SchemaNotFoundError:
            unknown = True
        pod = document
        for key in TEMPLATES.get(document["kind"], ["no", "pod"]):
            pod = pod.get(key) or {}
        said.append({
            "kind": document["kind"],
            "name": document["metadata"]["name"],
            "fault": fault,
            "unknown": unknown,
            "pod": restricted(pod["spec"]) if pod else None,
        })
    print(json.dumps(said))


main()
