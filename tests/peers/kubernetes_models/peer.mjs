// Holds custom resources against the schemas of those who define them: reads manifests on standard input, and says of each
// what is wrong with it, and whether the same without a sound `spec` would be refused. Unknown keys are not.
import { readFileSync } from "node:fs";
import yaml from "js-yaml";
import { Certificate } from "@kubernetes-models/cert-manager/cert-manager.io/v1/Certificate";
import { Issuer } from "@kubernetes-models/cert-manager/cert-manager.io/v1/Issuer";
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";

const models = {
  "cert-manager.io/v1/Certificate": Certificate,
  "cert-manager.io/v1/Issuer": Issuer,
  "monitoring.coreos.com/v1/PodMonitor": PodMonitor,
};

function fault(Model, object) {
  try {
    new Model(object).validate();
    return null;
  } catch (error) {
    return error.message;
  }
}

const said = [];
for (const object of yaml.loadAll(readFileSync(0, "utf8"))) {
  const Model = models[`${object?.apiVersion}/${object?.kind}`];
  if (!Model) continue;
  said.push({
    kind: object.kind,
    name: object.metadata.name,
    fault: fault(Model, object),
    compared: fault(Model, { ...object, spec: [] }) !== null,
  });
}
console.log(JSON.stringify(said));
