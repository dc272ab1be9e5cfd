"""The agents and debug tools that need host access, as their own projects publish them. Data only: grants nothing.

Each entry was checked against the file that `source` names, at `version`. decide/classify compares workloads with the
entries. A user may choose the namespace, or mirror the images, so an entry that fits says what a workload looks like,
and never what it is.
"""

from dataclasses import dataclass
from typing import Final

from hostnetwork_operator.api.exception import Component, ExceptionType


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent or debug tool as published.

    `component` is None unless the type is Infrastructure. `namespaces` and `accounts` are those of the published file;
    empty if the user chooses them. `workloads` are the names of its workloads, or of its pods if it has no workload.
    `images` are whole repositories, with the registry. In all of these `*` stands for any text without a slash.
    Anyone may own a registry that fits a `*`, so such an image makes no workload certain.
    `host_namespaces` are those that its pods share: a text of the letters N (Network), P (PID) and I (IPC); empty if it
    needs other host access only.
    """

    name: str
    type: ExceptionType
    component: Component | None
    namespaces: tuple[str, ...]
    accounts: tuple[str, ...]
    workloads: tuple[str, ...]
    images: tuple[str, ...]
    host_namespaces: str
    source: str
    version: str


_I: Final = ExceptionType.INFRASTRUCTURE
_D: Final = ExceptionType.DIAGNOSTIC

AGENTS: Final = (
    # Network plugins.
    Agent(
        "Cilium agent", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("cilium",), workloads=("cilium",),
        images=("quay.io/cilium/cilium",),
        host_namespaces="N", source="cilium/cilium install/kubernetes/cilium/templates/cilium-agent/daemonset.yaml",
        version="7d65d92",
    ),
    Agent(
        "Cilium Envoy", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("cilium-envoy",), workloads=("cilium-envoy",),
        images=("quay.io/cilium/cilium-envoy",),
        host_namespaces="N", source="cilium/cilium install/kubernetes/cilium/templates/cilium-envoy/daemonset.yaml",
        version="18cde1c",
    ),
    Agent(
        "Cilium operator", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("cilium-operator",), workloads=("cilium-operator",),
        images=(
            "quay.io/cilium/operator-generic", "quay.io/cilium/operator-aws", "quay.io/cilium/operator-azure",
            "quay.io/cilium/operator-alibabacloud",
        ),
        host_namespaces="N", source="cilium/cilium install/kubernetes/cilium/templates/cilium-operator/deployment.yaml",
        version="acc7254",
    ),
    Agent(
        "Cilium node init", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=(), workloads=("cilium-node-init",),
        images=("quay.io/cilium/startup-script",),
        host_namespaces="NP", source="cilium/cilium install/kubernetes/cilium/templates/cilium-nodeinit/daemonset.yaml",
        version="fb0e6dc",
    ),
    Agent(
        "Calico node", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system", "calico-system"), accounts=("calico-node",), workloads=("calico-node",),
        images=(
            "quay.io/calico/node", "quay.io/calico/cni", "quay.io/calico/pod2daemon-flexvol", "quay.io/calico/calico",
            "docker.io/calico/node", "docker.io/calico/cni",
        ),
        host_namespaces="N", source="projectcalico/calico manifests/calico.yaml", version="v3.32.1",
    ),
    Agent(
        "Calico Typha", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system", "calico-system"), accounts=("calico-node", "calico-typha"),
        workloads=("calico-typha",),
        images=("quay.io/calico/typha", "quay.io/calico/calico", "docker.io/calico/typha"),
        host_namespaces="N", source="projectcalico/calico manifests/calico-typha.yaml", version="v3.32.1",
    ),
    Agent(
        "Calico CSI driver", _I, Component.NETWORK_PLUGIN,
        namespaces=("calico-system",), accounts=("csi-node-driver",), workloads=("csi-node-driver",),
        images=(
            "quay.io/calico/csi", "quay.io/calico/node-driver-registrar", "quay.io/calico/calico",
            "docker.io/calico/csi", "docker.io/calico/node-driver-registrar",
        ),
        host_namespaces="", source="projectcalico/calico manifests/csi-driver.yaml", version="v3.32.1",
    ),
    Agent(
        "Tigera operator", _I, Component.NETWORK_PLUGIN,
        namespaces=("tigera-operator",), accounts=("tigera-operator",), workloads=("tigera-operator",),
        images=("quay.io/tigera/operator",),
        host_namespaces="N", source="projectcalico/calico manifests/tigera-operator.yaml", version="v3.32.1",
    ),
    Agent(
        "Canal", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("canal",), workloads=("canal",),
        images=(
            "quay.io/calico/node", "quay.io/calico/cni", "quay.io/calico/calico", "docker.io/flannel/flannel",
            "docker.io/calico/node", "docker.io/calico/cni",
        ),
        host_namespaces="N", source="projectcalico/calico manifests/canal.yaml", version="v3.32.1",
    ),
    Agent(
        "Flannel", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-flannel",), accounts=("flannel",), workloads=("kube-flannel-ds",),
        images=("ghcr.io/flannel-io/flannel", "ghcr.io/flannel-io/flannel-cni-plugin"),
        host_namespaces="N", source="flannel-io/flannel Documentation/kube-flannel.yml", version="v0.28.9",
    ),
    Agent(
        "Antrea agent", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("antrea-agent",), workloads=("antrea-agent",),
        images=("docker.io/antrea/antrea-agent-ubuntu",),
        host_namespaces="N", source="antrea-io/antrea build/yamls/antrea.yml", version="v2.7.0",
    ),
    Agent(
        "Antrea controller", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("antrea-controller",), workloads=("antrea-controller",),
        images=("docker.io/antrea/antrea-controller-ubuntu",),
        host_namespaces="N", source="antrea-io/antrea build/yamls/antrea.yml", version="v2.7.0",
    ),
    Agent(
        "Antrea node init", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=(), workloads=("antrea-node-init",),
        images=("gcr.io/google-containers/startup-script",),
        host_namespaces="NP", source="antrea-io/antrea build/yamls/antrea-gke-node-init.yml", version="v2.7.0",
    ),
    Agent(
        "kube-router", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("kube-router",), workloads=("kube-router",),
        images=("docker.io/cloudnativelabs/kube-router",),
        host_namespaces="NPI", source="cloudnativelabs/kube-router daemonset/kubeadm-kuberouter-all-features-dsr.yaml",
        version="v2.11.1",
    ),
    Agent(
        "Weave Net", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("weave-net",), workloads=("weave-net",),
        images=("docker.io/weaveworks/weave-kube", "docker.io/weaveworks/weave-npc"),
        host_namespaces="N", source="weaveworks/weave prog/weave-kube/weave-daemonset-k8s-1.11.yaml", version="8c84763",
    ),
    Agent(
        "Multus", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("multus",), workloads=("kube-multus-ds",),
        images=("ghcr.io/k8snetworkplumbingwg/multus-cni",),
        host_namespaces="NP", source="k8snetworkplumbingwg/multus-cni deployments/multus-daemonset-thick.yml",
        version="v4.3.0",
    ),
    Agent(
        "AWS VPC CNI", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("aws-node",), workloads=("aws-node",),
        images=(
            "*.dkr.ecr.*.amazonaws.com/amazon-k8s-cni-init", "*.dkr.ecr.*.amazonaws.com/amazon-k8s-cni",
            "*.dkr.ecr.*.amazonaws.com/amazon/aws-network-policy-agent",
            "*.dkr.ecr.*.amazonaws.com.cn/amazon-k8s-cni-init", "*.dkr.ecr.*.amazonaws.com.cn/amazon-k8s-cni",
            "*.dkr.ecr.*.amazonaws.com.cn/amazon/aws-network-policy-agent",
        ),
        host_namespaces="N", source="aws/amazon-vpc-cni-k8s config/master/aws-k8s-cni.yaml", version="v1.23.0",
    ),
    Agent(
        "Azure CNS", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("azure-cns",), workloads=("azure-cns",),
        images=(
            "mcr.microsoft.com/containernetworking/azure-cns", "acnpublic.azurecr.io/azure-cns",
            "acnpublic.azurecr.io/cni-dropgz",
        ),
        host_namespaces="N", source="Azure/azure-container-networking cns/azure-cns.yaml", version="cbd7560",
    ),
    Agent(
        "Azure CNI installer", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=(), workloads=("azure-cni",),
        images=("mcr.microsoft.com/containernetworking/azure-cni", "mcr.microsoft.com/oss/kubernetes/pause"),
        host_namespaces="N", source="Azure/azure-container-networking hack/manifests/cni-installer.yaml",
        version="cbd7560",
    ),
    Agent(
        "Azure NPM", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("azure-npm",), workloads=("azure-npm",),
        images=("mcr.microsoft.com/containernetworking/azure-npm",),
        host_namespaces="N", source="Azure/azure-container-networking npm/azure-npm.yaml", version="cbd7560",
    ),
    Agent(
        "GKE netd", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("netd",), workloads=("netd",),
        images=("gcr.io/google-containers/netd", "gcr.io/google-containers/netd-init"),
        host_namespaces="N", source="GoogleCloudPlatform/netd netd.yaml", version="v0.10.12",
    ),
    Agent(
        "OVN-Kubernetes node", _I, Component.NETWORK_PLUGIN,
        namespaces=("ovn-kubernetes", "openshift-ovn-kubernetes"), accounts=("ovnkube-node", "ovn-kubernetes-node"),
        workloads=("ovnkube-node", "ovnkube-node-dpu", "ovnkube-node-dpu-host"),
        images=(
            "ghcr.io/ovn-kubernetes/ovn-kubernetes/ovn-kube-ubuntu", "ghcr.io/ovn-org/ovn-kubernetes/ovn-kube-ubuntu",
            "docker.io/ovnkube/ovn-daemonset",
        ),
        host_namespaces="NP",
        source=(
            "ovn-kubernetes/ovn-kubernetes helm/ovn-kubernetes/charts/ovnkube-single-node-zone/templates/"
            "ovnkube-single-node-zone.yaml"
        ),
        version="8871cd9",
    ),
    Agent(
        "OVN-Kubernetes Open vSwitch", _I, Component.NETWORK_PLUGIN,
        namespaces=("ovn-kubernetes",), accounts=(), workloads=("ovs-node",),
        images=(
            "ghcr.io/ovn-kubernetes/ovn-kubernetes/ovn-kube-ubuntu", "ghcr.io/ovn-org/ovn-kubernetes/ovn-kube-ubuntu",
            "docker.io/ovnkube/ovn-daemonset",
        ),
        host_namespaces="NP",
        source="ovn-kubernetes/ovn-kubernetes helm/ovn-kubernetes/charts/ovs-node/templates/ovs-node.yaml",
        version="8871cd9",
    ),
    Agent(
        "OVN-Kubernetes control plane", _I, Component.NETWORK_PLUGIN,
        namespaces=("ovn-kubernetes",), accounts=("ovnkube-cluster-manager",), workloads=("ovnkube-control-plane",),
        images=(
            "ghcr.io/ovn-kubernetes/ovn-kubernetes/ovn-kube-ubuntu", "ghcr.io/ovn-org/ovn-kubernetes/ovn-kube-ubuntu",
            "docker.io/ovnkube/ovn-daemonset",
        ),
        host_namespaces="N",
        source=(
            "ovn-kubernetes/ovn-kubernetes helm/ovn-kubernetes/charts/ovnkube-control-plane/templates/"
            "ovnkube-control-plane.yaml"
        ),
        version="8871cd9",
    ),
    Agent(
        "OVN-Kubernetes identity", _I, Component.NETWORK_PLUGIN,
        namespaces=("ovn-kubernetes",), accounts=("ovnkube-identity",), workloads=("ovnkube-identity",),
        images=(
            "ghcr.io/ovn-kubernetes/ovn-kubernetes/ovn-kube-ubuntu", "ghcr.io/ovn-org/ovn-kubernetes/ovn-kube-ubuntu",
            "docker.io/ovnkube/ovn-daemonset",
        ),
        host_namespaces="N",
        source=(
            "ovn-kubernetes/ovn-kubernetes helm/ovn-kubernetes/charts/ovnkube-identity/templates/"
            "ovnkube-identity.yaml"
        ),
        version="8871cd9",
    ),
    Agent(
        "kindnet", _I, Component.NETWORK_PLUGIN,
        namespaces=("kube-system",), accounts=("kindnet",), workloads=("kindnet",),
        images=("docker.io/kindest/kindnetd",),
        host_namespaces="N", source="kubernetes-sigs/kind pkg/build/nodeimage/const_cni.go", version="v0.32.0",
    ),
    Agent(
        "Istio CNI", _I, Component.NETWORK_PLUGIN,
        namespaces=("istio-system",), accounts=("istio-cni",), workloads=("istio-cni-node",),
        images=(
            "registry.istio.io/release/install-cni", "registry.istio.io/testing/install-cni",
            "docker.io/istio/install-cni", "gcr.io/istio-testing/install-cni",
        ),
        host_namespaces="N", source="istio/istio manifests/charts/istio-cni/templates/daemonset.yaml",
        version="1.31.0-rc.0",
    ),
    Agent(
        "Istio ztunnel", _I, Component.NETWORK_PLUGIN,
        namespaces=("istio-system",), accounts=("ztunnel",), workloads=("ztunnel",),
        images=(
            "registry.istio.io/release/ztunnel", "registry.istio.io/testing/ztunnel", "docker.io/istio/ztunnel",
            "gcr.io/istio-testing/ztunnel",
        ),
        host_namespaces="", source="istio/istio manifests/charts/ztunnel/templates/daemonset.yaml",
        version="1.31.0-rc.0",
    ),
    Agent(
        "Linkerd CNI", _I, Component.NETWORK_PLUGIN,
        namespaces=("linkerd-cni",), accounts=("linkerd-cni",), workloads=("linkerd-cni",),
        images=("cr.l5d.io/linkerd/cni-plugin",),
        host_namespaces="", source="linkerd/linkerd2 charts/linkerd2-cni/templates/cni-plugin.yaml",
        version="edge-26.8.3",
    ),
    # kube-proxy.
    Agent(
        "kube-proxy", _I, Component.KUBE_PROXY,
        namespaces=("kube-system",), accounts=("kube-proxy",), workloads=("kube-proxy",),
        images=("registry.k8s.io/kube-proxy",),
        host_namespaces="N", source="kubernetes/kubernetes cmd/kubeadm/app/phases/addons/proxy/manifests.go",
        version="abd6065",
    ),
    # DNS caches.
    Agent(
        "NodeLocal DNSCache", _I, Component.DNS_CACHE,
        namespaces=("kube-system",), accounts=("node-local-dns",), workloads=("node-local-dns",),
        images=("registry.k8s.io/dns/k8s-dns-node-cache",),
        host_namespaces="N", source="kubernetes/kubernetes cluster/addons/dns/nodelocaldns/nodelocaldns.yaml",
        version="028f956",
    ),
    # Load balancers.
    Agent(
        "kube-vip", _I, Component.LOAD_BALANCER,
        namespaces=("kube-system",), accounts=("kube-vip",), workloads=("kube-vip-ds", "kube-vip", "kube-vip-*"),
        images=("ghcr.io/kube-vip/kube-vip",),
        host_namespaces="N", source="kube-vip/kube-vip pkg/kubevip/config_generator.go", version="bee5cfe",
    ),
    Agent(
        "MetalLB speaker", _I, Component.LOAD_BALANCER,
        namespaces=("metallb-system",), accounts=("speaker", "metallb-speaker", "*-metallb-speaker"),
        workloads=("speaker", "metallb-speaker", "*-metallb-speaker"),
        images=("quay.io/metallb/speaker", "quay.io/frrouting/frr"),
        host_namespaces="N", source="metallb/metallb config/manifests/metallb-frr.yaml", version="v0.16.1",
    ),
    Agent(
        "FRR-K8s", _I, Component.LOAD_BALANCER,
        namespaces=("metallb-system", "frr-k8s-system"), accounts=("frr-k8s-daemon",), workloads=("frr-k8s-daemon",),
        images=("quay.io/metallb/frr-k8s", "quay.io/frrouting/frr"),
        host_namespaces="N", source="metallb/frr-k8s config/all-in-one/frr-k8s.yaml", version="v0.0.25",
    ),
    Agent(
        "FRR-K8s status cleaner", _I, Component.LOAD_BALANCER,
        namespaces=("metallb-system", "frr-k8s-system"), accounts=("frr-k8s-daemon",),
        workloads=("frr-k8s-statuscleaner",),
        images=("quay.io/metallb/frr-k8s",),
        host_namespaces="N", source="metallb/frr-k8s config/all-in-one/frr-k8s.yaml", version="v0.0.25",
    ),
    Agent(
        "k3s ServiceLB", _I, Component.LOAD_BALANCER,
        namespaces=("kube-system",), accounts=("svclb",), workloads=("svclb-*",),
        images=("docker.io/rancher/klipper-lb",),
        host_namespaces="", source="k3s-io/k3s pkg/cloudprovider/servicelb.go", version="5ec454f",
    ),
    # Ingress controllers.
    Agent(
        "ingress-nginx", _I, Component.INGRESS_CONTROLLER,
        namespaces=("ingress-nginx",), accounts=("ingress-nginx", "*-ingress-nginx"),
        workloads=("ingress-nginx-controller", "*-ingress-nginx-controller"),
        images=("registry.k8s.io/ingress-nginx/controller",),
        host_namespaces="N", source="kubernetes/ingress-nginx charts/ingress-nginx/values.yaml", version="4.15.1",
    ),
    Agent(
        "Traefik", _I, Component.INGRESS_CONTROLLER,
        namespaces=(), accounts=("traefik", "*-traefik"), workloads=("traefik", "*-traefik"),
        images=("docker.io/library/traefik", "docker.io/traefik"),
        host_namespaces="N", source="traefik/traefik-helm-chart traefik/values.yaml", version="v41.3.0",
    ),
    Agent(
        "HAProxy Ingress", _I, Component.INGRESS_CONTROLLER,
        namespaces=(), accounts=("kubernetes-ingress", "*-kubernetes-ingress"),
        workloads=("kubernetes-ingress", "*-kubernetes-ingress"),
        images=("docker.io/haproxytech/kubernetes-ingress",),
        host_namespaces="N", source="haproxytech/helm-charts kubernetes-ingress/templates/_podspec.tpl",
        version="1.52.1",
    ),
    Agent(
        "Contour Envoy", _I, Component.INGRESS_CONTROLLER,
        namespaces=("projectcontour",), accounts=("envoy",), workloads=("envoy",),
        images=("docker.io/envoyproxy/envoy", "ghcr.io/projectcontour/contour"),
        host_namespaces="N", source="projectcontour/contour examples/contour/03-envoy.yaml", version="v1.33.6",
    ),
    # Metrics exporters.
    Agent(
        "node-exporter (kube-prometheus)", _I, Component.METRICS_EXPORTER,
        namespaces=("monitoring",), accounts=("node-exporter",), workloads=("node-exporter",),
        images=("quay.io/prometheus/node-exporter", "quay.io/brancz/kube-rbac-proxy"),
        host_namespaces="NP", source="prometheus-operator/kube-prometheus manifests/nodeExporter-daemonset.yaml",
        version="v0.18.0",
    ),
    Agent(
        "node-exporter (Helm)", _I, Component.METRICS_EXPORTER,
        namespaces=(), accounts=("prometheus-node-exporter", "*-prometheus-node-exporter"),
        workloads=("prometheus-node-exporter", "*-prometheus-node-exporter"),
        images=("quay.io/prometheus/node-exporter", "quay.io/brancz/kube-rbac-proxy", "quay.io/prometheus/busybox"),
        host_namespaces="NP", source="prometheus-community/helm-charts charts/prometheus-node-exporter/values.yaml",
        version="4.56.1",
    ),
    Agent(
        "Datadog agent", _I, Component.METRICS_EXPORTER,
        namespaces=(), accounts=("datadog", "datadog-*", "*-datadog"), workloads=("datadog", "datadog-*", "*-datadog"),
        images=(
            "gcr.io/datadoghq/agent", "eu.gcr.io/datadoghq/agent", "asia.gcr.io/datadoghq/agent",
            "registry.datadoghq.com/agent", "datadoghq.azurecr.io/agent", "public.ecr.aws/datadog/agent",
        ),
        host_namespaces="NP", source="DataDog/helm-charts charts/datadog/templates/_helpers.tpl", version="3.240.0",
    ),
    Agent(
        "Dynatrace OneAgent", _I, Component.METRICS_EXPORTER,
        namespaces=("dynatrace",), accounts=("dynatrace-dynakube-oneagent",), workloads=("*-oneagent",),
        images=("*/linux/oneagent",),
        host_namespaces="NP",
        source="Dynatrace/dynatrace-operator pkg/controllers/dynakube/oneagent/daemonset/daemonset.go",
        version="v1.10.2",
    ),
    Agent(
        "Elastic Agent", _I, Component.METRICS_EXPORTER,
        namespaces=("kube-system",), accounts=("elastic-agent",), workloads=("elastic-agent",),
        images=("docker.elastic.co/elastic-agent/elastic-agent",),
        host_namespaces="NP", source="elastic/elastic-agent deploy/kubernetes/elastic-agent-managed-kubernetes.yaml",
        version="07adab5",
    ),
    Agent(
        "Elastic Agent (standalone)", _I, Component.METRICS_EXPORTER,
        namespaces=("kube-system",), accounts=("elastic-agent-standalone",), workloads=("elastic-agent-standalone",),
        images=("docker.elastic.co/elastic-agent/elastic-agent",),
        host_namespaces="NP", source="elastic/elastic-agent deploy/kubernetes/elastic-agent-standalone-kubernetes.yaml",
        version="07adab5",
    ),
    Agent(
        "Metricbeat", _I, Component.METRICS_EXPORTER,
        namespaces=("kube-system",), accounts=("metricbeat",), workloads=("metricbeat",),
        images=("docker.elastic.co/beats/metricbeat",),
        host_namespaces="N", source="elastic/beats deploy/kubernetes/metricbeat-kubernetes.yaml", version="dfa1c7a",
    ),
    Agent(
        "CloudWatch agent", _I, Component.METRICS_EXPORTER,
        namespaces=("amazon-cloudwatch",), accounts=("cloudwatch-agent",), workloads=("cloudwatch-agent",),
        images=("public.ecr.aws/cloudwatch-agent/cloudwatch-agent",),
        host_namespaces="",
        source=(
            "aws-samples/amazon-cloudwatch-container-insights k8s-deployment-manifest-templates/deployment-mode/"
            "daemonset/container-insights-monitoring/quickstart/cwagent-fluent-bit-quickstart.yaml"
        ),
        version="dfd9611",
    ),
    Agent(
        "OpenTelemetry Collector agent", _I, Component.METRICS_EXPORTER,
        namespaces=(), accounts=("opentelemetry-collector", "*-opentelemetry-collector"),
        workloads=("opentelemetry-collector-agent", "*-opentelemetry-collector-agent"),
        images=(
            "ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-k8s",
            "docker.io/otel/opentelemetry-collector",
        ),
        host_namespaces="NP",
        source="open-telemetry/opentelemetry-helm-charts charts/opentelemetry-collector/templates/daemonset.yaml",
        version="0.170.0",
    ),
    Agent(
        "NVIDIA DCGM exporter", _I, Component.METRICS_EXPORTER,
        namespaces=(), accounts=("dcgm-exporter", "*-dcgm-exporter"), workloads=("dcgm-exporter", "*-dcgm-exporter"),
        images=("nvcr.io/nvidia/k8s/dcgm-exporter",),
        host_namespaces="NP", source="NVIDIA/dcgm-exporter deployment/values.yaml", version="4.5.3-4.8.2",
    ),
    # Log and node agents.
    Agent(
        "Filebeat", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("filebeat",), workloads=("filebeat",),
        images=("docker.elastic.co/beats/filebeat-wolfi", "docker.elastic.co/beats/filebeat"),
        host_namespaces="N", source="elastic/beats deploy/kubernetes/filebeat-kubernetes.yaml", version="005f19f",
    ),
    Agent(
        "Fluent Bit", _I, Component.NODE_AGENT,
        namespaces=(), accounts=("fluent-bit", "*-fluent-bit"), workloads=("fluent-bit", "*-fluent-bit"),
        images=("cr.fluentbit.io/fluent/fluent-bit", "ghcr.io/jimmidyson/configmap-reload"),
        host_namespaces="N", source="fluent/helm-charts charts/fluent-bit/values.yaml", version="0.58.1",
    ),
    Agent(
        "Fluent Bit for CloudWatch", _I, Component.NODE_AGENT,
        namespaces=("amazon-cloudwatch",), accounts=("fluent-bit",), workloads=("fluent-bit",),
        images=("public.ecr.aws/aws-observability/aws-for-fluent-bit",),
        host_namespaces="N",
        source=(
            "aws-samples/amazon-cloudwatch-container-insights k8s-deployment-manifest-templates/deployment-mode/"
            "daemonset/container-insights-monitoring/quickstart/cwagent-fluent-bit-quickstart.yaml"
        ),
        version="dfd9611",
    ),
    Agent(
        "Promtail", _I, Component.NODE_AGENT,
        namespaces=(), accounts=("promtail", "*-promtail"), workloads=("promtail", "*-promtail"),
        images=("docker.io/grafana/promtail", "ghcr.io/jimmidyson/configmap-reload"),
        host_namespaces="N", source="grafana/helm-charts charts/promtail/values.yaml", version="6.17.1",
    ),
    Agent(
        "Grafana Alloy", _I, Component.NODE_AGENT,
        namespaces=(), accounts=("alloy", "*-alloy"), workloads=("alloy", "*-alloy"),
        images=("docker.io/grafana/alloy", "quay.io/prometheus-operator/prometheus-config-reloader"),
        host_namespaces="NP", source="grafana/alloy operations/helm/charts/alloy/values.yaml", version="1.11.1",
    ),
    Agent(
        "node-problem-detector", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("node-problem-detector",), workloads=("node-problem-detector",),
        images=("registry.k8s.io/node-problem-detector/node-problem-detector",),
        host_namespaces="", source="kubernetes/node-problem-detector deployment/node-problem-detector.yaml",
        version="v1.36.0",
    ),
    Agent(
        "SPIRE agent", _I, Component.NODE_AGENT,
        namespaces=("spire",), accounts=("spire-agent",), workloads=("spire-agent",),
        images=("ghcr.io/spiffe/spire-agent", "cgr.dev/chainguard/wait-for-it"),
        host_namespaces="NP", source="spiffe/spire-tutorials k8s/quickstart/agent-daemonset.yaml", version="c345f87",
    ),
    Agent(
        "SPIRE agent (Helm)", _I, Component.NODE_AGENT,
        namespaces=("spire-system", "spire-server", "spire-mgmt"), accounts=("spire-agent", "*-agent"),
        workloads=("spire-agent", "*-agent"),
        images=(
            "ghcr.io/spiffe/spire-agent", "cgr.dev/chainguard/bash", "cgr.dev/chainguard/min-toolkit-debug",
            "docker.io/library/busybox", "ghcr.io/spiffe/spire-tpm-plugin-tpm-attestor-agent",
            "ghcr.io/spiffe/spire-tpm-plugin-get-tpm-pubhash",
        ),
        host_namespaces="NP",
        source="spiffe/helm-charts-hardened charts/spire/charts/spire-agent/templates/daemonset.yaml", version="0.30.0",
    ),
    # Storage drivers.
    Agent(
        "AWS EBS CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("ebs-csi-node-sa",), workloads=("ebs-csi-node",),
        images=(
            "public.ecr.aws/ebs-csi-driver/aws-ebs-csi-driver",
            "public.ecr.aws/csi-components/csi-node-driver-registrar", "public.ecr.aws/csi-components/livenessprobe",
            "*.dkr.ecr.*.amazonaws.com/eks/aws-ebs-csi-driver",
            "*.dkr.ecr.*.amazonaws.com/eks/csi-node-driver-registrar", "*.dkr.ecr.*.amazonaws.com/eks/livenessprobe",
            "registry.k8s.io/provider-aws/aws-ebs-csi-driver", "registry.k8s.io/sig-storage/csi-node-driver-registrar",
            "registry.k8s.io/sig-storage/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-sigs/aws-ebs-csi-driver deploy/kubernetes/base/node.yaml",
        version="v1.64.0",
    ),
    Agent(
        "AWS EFS CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("efs-csi-node-sa",), workloads=("efs-csi-node",),
        images=(
            "public.ecr.aws/efs-csi-driver/amazon/aws-efs-csi-driver",
            "public.ecr.aws/csi-components/csi-node-driver-registrar", "public.ecr.aws/csi-components/livenessprobe",
            "*.dkr.ecr.*.amazonaws.com/eks/aws-efs-csi-driver",
            "*.dkr.ecr.*.amazonaws.com/eks/csi-node-driver-registrar", "*.dkr.ecr.*.amazonaws.com/eks/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-sigs/aws-efs-csi-driver deploy/kubernetes/base/node-daemonset.yaml",
        version="v3.4.1",
    ),
    Agent(
        "GCE PD CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("gce-pd-csi-driver",), accounts=("csi-gce-pd-node-sa",), workloads=("csi-gce-pd-node",),
        images=(
            "gke.gcr.io/gcp-compute-persistent-disk-csi-driver",
            "registry.k8s.io/cloud-provider-gcp/gcp-compute-persistent-disk-csi-driver",
            "registry.k8s.io/sig-storage/csi-node-driver-registrar",
        ),
        host_namespaces="N",
        source="kubernetes-sigs/gcp-compute-persistent-disk-csi-driver deploy/kubernetes/base/node_linux/node.yaml",
        version="v1.26.4",
    ),
    Agent(
        "Azure Disk CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-azuredisk-node-sa",), workloads=("csi-azuredisk-node",),
        images=(
            "mcr.microsoft.com/oss/v2/kubernetes-csi/azuredisk-csi", "mcr.microsoft.com/k8s/csi/azuredisk-csi",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/livenessprobe",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-node-driver-registrar",
        ),
        host_namespaces="N", source="kubernetes-sigs/azuredisk-csi-driver deploy/v1.34.5/csi-azuredisk-node.yaml",
        version="v1.34.5",
    ),
    Agent(
        "Azure Disk CSI controller", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-azuredisk-controller-sa",), workloads=("csi-azuredisk-controller",),
        images=(
            "mcr.microsoft.com/oss/v2/kubernetes-csi/azuredisk-csi", "mcr.microsoft.com/k8s/csi/azuredisk-csi",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-provisioner",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-attacher",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-snapshotter",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/csi-resizer",
            "mcr.microsoft.com/oss/v2/kubernetes-csi/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-sigs/azuredisk-csi-driver deploy/v1.34.5/csi-azuredisk-controller.yaml",
        version="v1.34.5",
    ),
    Agent(
        "NFS CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-nfs-node-sa",), workloads=("csi-nfs-node",),
        images=(
            "registry.k8s.io/sig-storage/nfsplugin", "gcr.io/k8s-staging-sig-storage/nfsplugin",
            "registry.k8s.io/sig-storage/csi-node-driver-registrar", "registry.k8s.io/sig-storage/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-csi/csi-driver-nfs deploy/v4.13.4/csi-nfs-node.yaml", version="v4.13.4",
    ),
    Agent(
        "NFS CSI controller", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-nfs-controller-sa",), workloads=("csi-nfs-controller",),
        images=(
            "registry.k8s.io/sig-storage/nfsplugin", "gcr.io/k8s-staging-sig-storage/nfsplugin",
            "registry.k8s.io/sig-storage/csi-provisioner", "registry.k8s.io/sig-storage/csi-resizer",
            "registry.k8s.io/sig-storage/csi-snapshotter", "registry.k8s.io/sig-storage/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-csi/csi-driver-nfs deploy/v4.13.4/csi-nfs-controller.yaml",
        version="v4.13.4",
    ),
    Agent(
        "SMB CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-smb-node-sa",), workloads=("csi-smb-node",),
        images=(
            "registry.k8s.io/sig-storage/smbplugin", "gcr.io/k8s-staging-sig-storage/smbplugin",
            "registry.k8s.io/sig-storage/csi-node-driver-registrar", "registry.k8s.io/sig-storage/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-csi/csi-driver-smb deploy/v1.20.3/csi-smb-node.yaml", version="v1.20.3",
    ),
    Agent(
        "SMB CSI controller", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("csi-smb-controller-sa",), workloads=("csi-smb-controller",),
        images=(
            "registry.k8s.io/sig-storage/smbplugin", "gcr.io/k8s-staging-sig-storage/smbplugin",
            "registry.k8s.io/sig-storage/csi-provisioner", "registry.k8s.io/sig-storage/csi-resizer",
            "registry.k8s.io/sig-storage/livenessprobe",
        ),
        host_namespaces="N", source="kubernetes-csi/csi-driver-smb deploy/v1.20.3/csi-smb-controller.yaml",
        version="v1.20.3",
    ),
    Agent(
        "Ceph CSI RBD node", _I, Component.STORAGE_DRIVER,
        namespaces=(), accounts=("rbd-csi-nodeplugin",), workloads=("csi-rbdplugin",),
        images=("quay.io/cephcsi/cephcsi", "registry.k8s.io/sig-storage/csi-node-driver-registrar"),
        host_namespaces="NP", source="ceph/ceph-csi deploy/rbd/kubernetes/csi-rbdplugin.yaml", version="v3.12.2",
    ),
    Agent(
        "Ceph CSI CephFS node", _I, Component.STORAGE_DRIVER,
        namespaces=(), accounts=("cephfs-csi-nodeplugin",), workloads=("csi-cephfsplugin",),
        images=("quay.io/cephcsi/cephcsi", "registry.k8s.io/sig-storage/csi-node-driver-registrar"),
        host_namespaces="NP", source="ceph/ceph-csi deploy/cephfs/kubernetes/csi-cephfsplugin.yaml", version="v3.12.2",
    ),
    Agent(
        "Rook Ceph OSD", _I, Component.STORAGE_DRIVER,
        namespaces=("rook-ceph",), accounts=("rook-ceph-osd",), workloads=("rook-ceph-osd-*",),
        images=("quay.io/ceph/ceph", "docker.io/rook/ceph"),
        host_namespaces="NI", source="rook/rook pkg/operator/ceph/cluster/osd/spec.go", version="v1.20.6",
    ),
    Agent(
        "Rook Ceph monitor and manager", _I, Component.STORAGE_DRIVER,
        namespaces=("rook-ceph",), accounts=("rook-ceph-default", "rook-ceph-mgr"),
        workloads=("rook-ceph-mon-*", "rook-ceph-mgr-*"),
        images=("quay.io/ceph/ceph", "docker.io/rook/ceph"),
        host_namespaces="N", source="rook/rook pkg/operator/ceph/cluster/mon/spec.go", version="v1.20.6",
    ),
    Agent(
        "Rook discover", _I, Component.STORAGE_DRIVER,
        namespaces=("rook-ceph",), accounts=("rook-ceph-system",), workloads=("rook-discover",),
        images=("docker.io/rook/ceph",),
        host_namespaces="N", source="rook/rook pkg/operator/discover/discover.go", version="v1.20.6",
    ),
    Agent(
        "Longhorn manager", _I, Component.STORAGE_DRIVER,
        namespaces=("longhorn-system",), accounts=("longhorn-service-account",), workloads=("longhorn-manager",),
        images=("docker.io/longhornio/longhorn-manager", "docker.io/longhornio/longhorn-share-manager"),
        host_namespaces="", source="longhorn/longhorn deploy/longhorn.yaml", version="v1.12.1",
    ),
    Agent(
        "Longhorn CSI plugin", _I, Component.STORAGE_DRIVER,
        namespaces=("longhorn-system",), accounts=("longhorn-service-account",), workloads=("longhorn-csi-plugin",),
        images=(
            "docker.io/longhornio/longhorn-manager", "docker.io/longhornio/csi-node-driver-registrar",
            "docker.io/longhornio/livenessprobe",
        ),
        host_namespaces="", source="longhorn/longhorn-manager csi/deployment.go", version="v1.12.1",
    ),
    Agent(
        "Longhorn instance manager", _I, Component.STORAGE_DRIVER,
        namespaces=("longhorn-system",), accounts=("longhorn-service-account",), workloads=("instance-manager-*",),
        images=("docker.io/longhornio/longhorn-instance-manager",),
        host_namespaces="", source="longhorn/longhorn-manager controller/instance_manager_controller.go",
        version="v1.12.1",
    ),
    Agent(
        "Longhorn engine image", _I, Component.STORAGE_DRIVER,
        namespaces=("longhorn-system",), accounts=("longhorn-service-account",), workloads=("engine-image-*",),
        images=("docker.io/longhornio/longhorn-engine",),
        host_namespaces="", source="longhorn/longhorn-manager controller/engine_image_controller.go", version="v1.12.1",
    ),
    Agent(
        "OpenEBS Mayastor I/O engine", _I, Component.STORAGE_DRIVER,
        namespaces=(), accounts=(), workloads=("*-io-engine",),
        images=(
            "docker.io/openebs/mayastor-io-engine", "docker.io/openebs/mayastor-metrics-exporter-io-engine",
            "docker.io/library/busybox",
        ),
        host_namespaces="N", source="openebs/mayastor-extensions chart/templates/mayastor/io/io-engine-daemonset.yaml",
        version="v2.7.1",
    ),
    Agent(
        "OpenEBS Mayastor CSI node", _I, Component.STORAGE_DRIVER,
        namespaces=(), accounts=("*-service-account",), workloads=("*-csi-node",),
        images=(
            "docker.io/openebs/mayastor-csi-node", "registry.k8s.io/sig-storage/csi-node-driver-registrar",
            "docker.io/library/busybox",
        ),
        host_namespaces="N", source="openebs/mayastor-extensions chart/templates/mayastor/csi/csi-node-daemonset.yaml",
        version="v2.7.1",
    ),
    Agent(
        "OpenEBS Mayastor HA node agent", _I, Component.STORAGE_DRIVER,
        namespaces=(), accounts=(), workloads=("*-agent-ha-node",),
        images=("docker.io/openebs/mayastor-agent-ha-node", "docker.io/library/busybox"),
        host_namespaces="N",
        source="openebs/mayastor-extensions chart/templates/mayastor/agents/ha/ha-node-daemonset.yaml",
        version="v2.7.1",
    ),
    Agent(
        "OpenEBS LVM LocalPV node", _I, Component.STORAGE_DRIVER,
        namespaces=("kube-system",), accounts=("openebs-lvm-node-sa",),
        workloads=("openebs-lvm-node", "lvm-localpv-node", "*-lvm-localpv-node"),
        images=("docker.io/openebs/lvm-driver", "registry.k8s.io/sig-storage/csi-node-driver-registrar"),
        host_namespaces="N", source="openebs/lvm-localpv deploy/lvm-operator.yaml", version="lvm-localpv-1.4.0",
    ),
    Agent(
        "OpenEBS LocalPV helper", _I, Component.STORAGE_DRIVER,
        namespaces=("openebs",), accounts=("openebs-maya-operator",), workloads=("init-*", "cleanup-*", "quota-*"),
        images=("docker.io/openebs/linux-utils",),
        host_namespaces="", source="openebs/dynamic-localpv-provisioner cmd/provisioner-localpv/app/helper_hostpath.go",
        version="v4.0.0",
    ),
    Agent(
        "local-path-provisioner helper", _I, Component.STORAGE_DRIVER,
        namespaces=("local-path-storage",), accounts=("local-path-provisioner-service-account",),
        workloads=("helper-pod-create-*", "helper-pod-delete-*"),
        images=("docker.io/library/busybox", "docker.io/rancher/library-busybox"),
        host_namespaces="", source="rancher/local-path-provisioner deploy/local-path-storage.yaml", version="v0.0.37",
    ),
    Agent(
        "Dynatrace CSI driver", _I, Component.STORAGE_DRIVER,
        namespaces=("dynatrace",), accounts=("dynatrace-oneagent-csi-driver",),
        workloads=("dynatrace-oneagent-csi-driver",),
        images=(
            "public.ecr.aws/dynatrace/dynatrace-operator", "registry.connect.redhat.com/dynatrace/dynatrace-operator",
            "gcr.io/dynatrace-marketplace-prod/dynatrace-operator",
        ),
        host_namespaces="",
        source="Dynatrace/dynatrace-operator config/helm/chart/default/templates/Common/csi/daemonset.yaml",
        version="v1.10.2",
    ),
    # Security sensors.
    Agent(
        "Falco", _I, Component.SECURITY_SENSOR,
        namespaces=("falco", "default"), accounts=("falco", "*-falco"), workloads=("falco", "*-falco"),
        images=(
            "docker.io/falcosecurity/falco", "docker.io/falcosecurity/falco-driver-loader",
            "docker.io/falcosecurity/falcoctl",
        ),
        host_namespaces="", source="falcosecurity/deploy-kubernetes kubernetes/falco/templates/daemonset.yaml",
        version="2a8fa37",
    ),
    Agent(
        "Tetragon", _I, Component.SECURITY_SENSOR,
        namespaces=("kube-system",), accounts=("tetragon",), workloads=("tetragon",),
        images=("quay.io/cilium/tetragon", "quay.io/cilium/hubble-export-stdout"),
        host_namespaces="N", source="cilium/tetragon install/kubernetes/tetragon/templates/daemonset.yaml",
        version="1.7.0",
    ),
    Agent(
        "Tracee", _I, Component.SECURITY_SENSOR,
        namespaces=("tracee",), accounts=("tracee", "*-tracee"), workloads=("tracee", "*-tracee"),
        images=("docker.io/aquasec/tracee",),
        host_namespaces="P", source="aquasecurity/tracee deploy/helm/tracee/templates/daemonset.yaml", version="0.24.1",
    ),
    Agent(
        "Kubescape node agent", _I, Component.SECURITY_SENSOR,
        namespaces=("kubescape",), accounts=("node-agent",), workloads=("node-agent", "node-agent-*"),
        images=("quay.io/kubescape/node-agent", "quay.io/kubescape/klamav", "docker.io/library/busybox"),
        host_namespaces="P",
        source="kubescape/helm-charts charts/kubescape-operator/templates/node-agent/_node-agent.tpl", version="1.40.3",
    ),
    Agent(
        "Suricata (Antrea cookbook)", _I, Component.SECURITY_SENSOR,
        namespaces=(), accounts=(), workloads=("suricata",),
        images=("docker.io/jasonish/suricata",),
        host_namespaces="N", source="antrea-io/antrea docs/cookbooks/ids/resources/suricata.yml", version="fc70f2b",
    ),
    # Devices.
    Agent(
        "NVIDIA device plugin", _I, Component.NODE_AGENT,
        namespaces=("kube-system", "nvidia-device-plugin"),
        accounts=(
            "nvidia-device-plugin", "nvidia-device-plugin-service-account", "*-nvidia-device-plugin-service-account",
        ),
        workloads=("nvidia-device-plugin-daemonset", "nvidia-device-plugin", "*-nvidia-device-plugin"),
        images=("nvcr.io/nvidia/k8s-device-plugin",),
        host_namespaces="N",
        source="NVIDIA/k8s-device-plugin deployments/helm/nvidia-device-plugin/templates/daemonset-device-plugin.yml",
        version="v0.20.0",
    ),
    Agent(
        "NVIDIA GPU feature discovery", _I, Component.NODE_AGENT,
        namespaces=("nvidia-device-plugin",),
        accounts=("nvidia-device-plugin-service-account", "*-nvidia-device-plugin-service-account"),
        workloads=("gpu-feature-discovery", "*-gpu-feature-discovery"),
        images=("nvcr.io/nvidia/k8s-device-plugin",),
        host_namespaces="N",
        source="NVIDIA/k8s-device-plugin deployments/helm/nvidia-device-plugin/templates/daemonset-gfd.yml",
        version="v0.20.0",
    ),
    Agent(
        "NVIDIA MPS control daemon", _I, Component.NODE_AGENT,
        namespaces=("nvidia-device-plugin",),
        accounts=("nvidia-device-plugin-service-account", "*-nvidia-device-plugin-service-account"),
        workloads=("*-mps-control-daemon",),
        images=("nvcr.io/nvidia/k8s-device-plugin",),
        host_namespaces="NP",
        source=(
            "NVIDIA/k8s-device-plugin deployments/helm/nvidia-device-plugin/templates/"
            "daemonset-mps-control-daemon.yml"
        ),
        version="v0.20.0",
    ),
    Agent(
        "NVIDIA GPU operator driver", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-driver",), workloads=("nvidia-driver-daemonset",),
        images=(
            "nvcr.io/nvidia/driver", "nvcr.io/nvidia/cloud-native/k8s-driver-manager",
            "nvcr.io/nvidia/cloud-native/nvidia-fs", "nvcr.io/nvidia/cloud-native/gdrdrv",
        ),
        host_namespaces="NP", source="NVIDIA/gpu-operator assets/state-driver/0500_daemonset.yaml", version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator container toolkit", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-container-toolkit",),
        workloads=("nvidia-container-toolkit-daemonset",),
        images=("nvcr.io/nvidia/k8s/container-toolkit", "nvcr.io/nvidia/gpu-operator"),
        host_namespaces="NP", source="NVIDIA/gpu-operator assets/state-container-toolkit/0500_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator MIG manager", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-mig-manager",), workloads=("nvidia-mig-manager",),
        images=("nvcr.io/nvidia/cloud-native/k8s-mig-manager", "nvcr.io/nvidia/gpu-operator"),
        host_namespaces="NPI", source="NVIDIA/gpu-operator assets/state-mig-manager/0600_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator device plugin", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-device-plugin",), workloads=("nvidia-device-plugin-daemonset",),
        images=("nvcr.io/nvidia/k8s-device-plugin", "nvcr.io/nvidia/gpu-operator"),
        host_namespaces="N", source="NVIDIA/gpu-operator assets/state-device-plugin/0500_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator MPS control daemon", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-device-plugin",),
        workloads=("nvidia-device-plugin-mps-control-daemon",),
        images=("nvcr.io/nvidia/k8s-device-plugin",),
        host_namespaces="NP", source="NVIDIA/gpu-operator assets/state-mps-control-daemon/0400_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator DCGM exporter", _I, Component.METRICS_EXPORTER,
        namespaces=("gpu-operator",), accounts=("nvidia-dcgm-exporter",), workloads=("nvidia-dcgm-exporter",),
        images=("nvcr.io/nvidia/k8s/dcgm-exporter", "nvcr.io/nvidia/gpu-operator"),
        host_namespaces="N", source="NVIDIA/gpu-operator assets/state-dcgm-exporter/0800_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator feature discovery", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-gpu-feature-discovery",), workloads=("gpu-feature-discovery",),
        images=("nvcr.io/nvidia/k8s-device-plugin", "nvcr.io/nvidia/gpu-operator"),
        host_namespaces="N", source="NVIDIA/gpu-operator assets/gpu-feature-discovery/0500_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "NVIDIA GPU operator validator", _I, Component.NODE_AGENT,
        namespaces=("gpu-operator",), accounts=("nvidia-operator-validator",), workloads=("nvidia-operator-validator",),
        images=("nvcr.io/nvidia/gpu-operator",),
        host_namespaces="N", source="NVIDIA/gpu-operator assets/state-operator-validation/0500_daemonset.yaml",
        version="v26.7.0",
    ),
    Agent(
        "SR-IOV network device plugin", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("sriov-device-plugin",),
        workloads=("kube-sriov-device-plugin", "kube-sriov-device-plugin-*"),
        images=("ghcr.io/k8snetworkplumbingwg/sriov-network-device-plugin",),
        host_namespaces="N",
        source="k8snetworkplumbingwg/sriov-network-device-plugin deployments/sriovdp-daemonset.yaml", version="v3.11.0",
    ),
    Agent(
        "Node Feature Discovery worker", _I, Component.NODE_AGENT,
        namespaces=("node-feature-discovery",),
        accounts=("nfd-worker", "node-feature-discovery-worker", "*-node-feature-discovery-worker"),
        workloads=("nfd-worker", "node-feature-discovery-worker", "*-node-feature-discovery-worker"),
        images=("registry.k8s.io/nfd/node-feature-discovery", "gcr.io/k8s-staging-nfd/node-feature-discovery"),
        host_namespaces="N",
        source="kubernetes-sigs/node-feature-discovery deployment/helm/node-feature-discovery/templates/worker.yaml",
        version="v0.19.0",
    ),
    Agent(
        "Node Feature Discovery topology updater", _I, Component.NODE_AGENT,
        namespaces=("node-feature-discovery",),
        accounts=(
            "nfd-topology-updater", "node-feature-discovery-topology-updater",
            "*-node-feature-discovery-topology-updater",
        ),
        workloads=(
            "nfd-topology-updater", "node-feature-discovery-topology-updater",
            "*-node-feature-discovery-topology-updater",
        ),
        images=("registry.k8s.io/nfd/node-feature-discovery", "gcr.io/k8s-staging-nfd/node-feature-discovery"),
        host_namespaces="N",
        source=(
            "kubernetes-sigs/node-feature-discovery deployment/helm/node-feature-discovery/templates/"
            "topologyupdater.yaml"
        ),
        version="v0.19.0",
    ),
    Agent(
        "KubeVirt virt-handler", _I, Component.NODE_AGENT,
        namespaces=("kubevirt",), accounts=("kubevirt-handler",), workloads=("virt-handler",),
        images=("quay.io/kubevirt/virt-handler", "quay.io/kubevirt/virt-launcher", "quay.io/kubevirt/pr-helper"),
        host_namespaces="P", source="kubevirt/kubevirt pkg/virt-operator/resource/generate/components/daemonsets.go",
        version="v1.9.0",
    ),
    # Cloud node agents.
    Agent(
        "EKS node monitoring agent", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("eks-node-monitoring-agent",), workloads=("eks-node-monitoring-agent",),
        images=("*.dkr.ecr.*.amazonaws.com/eks/eks-node-monitoring-agent",),
        host_namespaces="NP",
        source="aws/eks-node-monitoring-agent charts/eks-node-monitoring-agent/templates/daemonset.yaml",
        version="v1.7.0",
    ),
    Agent(
        "Azure cloud node manager", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("cloud-node-manager",), workloads=("cloud-node-manager",),
        images=(
            "mcr.microsoft.com/oss/kubernetes/azure-cloud-node-manager",
            "mcr.microsoft.com/oss/v2/kubernetes/azure-health-probe-proxy",
        ),
        host_namespaces="N", source="kubernetes-sigs/cloud-provider-azure examples/out-of-tree/cloud-node-manager.yaml",
        version="7b31c76",
    ),
    Agent(
        "Azure cloud controller manager", _I, Component.OTHER,
        namespaces=("kube-system",), accounts=("cloud-controller-manager",), workloads=("cloud-controller-manager",),
        images=("mcr.microsoft.com/oss/kubernetes/azure-cloud-controller-manager",),
        host_namespaces="N",
        source="kubernetes-sigs/cloud-provider-azure examples/out-of-tree/cloud-controller-manager.yaml",
        version="7b31c76",
    ),
    Agent(
        "AWS cloud controller manager", _I, Component.OTHER,
        namespaces=("kube-system",), accounts=("cloud-controller-manager",),
        workloads=("aws-cloud-controller-manager",),
        images=("registry.k8s.io/provider-aws/cloud-controller-manager",),
        host_namespaces="N",
        source=(
            "kubernetes/cloud-provider-aws examples/existing-cluster/base/"
            "aws-cloud-controller-manager-daemonset.yaml"
        ),
        version="v1.36.1",
    ),
    # Upgrade and reboot agents.
    Agent(
        "kured", _I, Component.NODE_AGENT,
        namespaces=("kube-system",), accounts=("kured",), workloads=("kured",),
        images=("ghcr.io/kubereboot/kured",),
        host_namespaces="P", source="kubereboot/kured kured-ds.yaml", version="1.23.0",
    ),
    Agent(
        "system-upgrade-controller", _I, Component.NODE_AGENT,
        namespaces=("system-upgrade",), accounts=("system-upgrade",), workloads=("system-upgrade-controller",),
        images=("docker.io/rancher/system-upgrade-controller",),
        host_namespaces="", source="rancher/system-upgrade-controller manifests/system-upgrade-controller.yaml",
        version="v0.20.1",
    ),
    Agent(
        "system-upgrade-controller job", _I, Component.NODE_AGENT,
        namespaces=("system-upgrade",), accounts=("system-upgrade",), workloads=("apply-*-on-*-with-*",),
        images=("docker.io/rancher/kubectl", "docker.io/rancher/k3s-upgrade"),
        host_namespaces="NPI", source="rancher/system-upgrade-controller pkg/upgrade/job/job.go", version="v0.20.1",
    ),
    # Control plane.
    Agent(
        "kubeadm control plane", _I, Component.OTHER,
        namespaces=("kube-system",), accounts=(),
        workloads=("kube-apiserver-*", "kube-controller-manager-*", "kube-scheduler-*", "etcd-*"),
        images=(
            "registry.k8s.io/kube-apiserver", "registry.k8s.io/kube-controller-manager",
            "registry.k8s.io/kube-scheduler", "registry.k8s.io/etcd",
        ),
        host_namespaces="N", source="kubernetes/kubernetes cmd/kubeadm/app/util/staticpod/utils.go", version="effb98e",
    ),
    Agent(
        "konnectivity agent", _I, Component.OTHER,
        namespaces=("kube-system",), accounts=("konnectivity-agent",), workloads=("konnectivity-agent",),
        images=("registry.k8s.io/kas-network-proxy/proxy-agent", "gcr.io/k8s-staging-kas-network-proxy/proxy-agent"),
        host_namespaces="N",
        source="kubernetes-sigs/apiserver-network-proxy examples/kubernetes/konnectivity-agent.yaml", version="4f8517c",
    ),
    Agent(
        "OpenShift etcd backup job", _I, Component.OTHER,
        namespaces=("openshift-etcd",), accounts=(), workloads=("cluster-backup-job", "cluster-backup-job-*"),
        images=(),
        host_namespaces="N", source="openshift/cluster-etcd-operator bindata/etcd/cluster-backup-job.yaml",
        version="b4786ae",
    ),
    # Debug tools.
    Agent(
        "kubectl debug node", _D, None,
        namespaces=(), accounts=(), workloads=("node-debugger-*",),
        images=(),
        host_namespaces="NPI", source="kubernetes/kubectl pkg/cmd/debug/debug.go", version="v0.36.3",
    ),
    Agent(
        "oc debug node", _D, None,
        namespaces=("openshift-debug-*",), accounts=(), workloads=("*-debug-*",),
        images=(),
        host_namespaces="NPI", source="openshift/oc pkg/cli/debug/debug.go", version="6b8e30c",
    ),
    Agent(
        "Lens node shell", _D, None,
        namespaces=("kube-system",), accounts=(), workloads=("node-shell-*",),
        images=("docker.io/library/alpine", "docker.io/alpine"),
        host_namespaces="NPI",
        source="lensapp/lens packages/core/src/main/shell-session/node-shell-session/node-shell-session.ts",
        version="1675c56",
    ),
    Agent(
        "k9s node shell", _D, None,
        namespaces=("default",), accounts=(), workloads=("k9s-shell-*",),
        images=("docker.io/library/busybox",),
        host_namespaces="NP", source="derailed/k9s internal/view/exec.go", version="v0.51.0",
    ),
    Agent(
        "Headlamp node shell", _D, None,
        namespaces=("default",), accounts=(), workloads=("node-debugger-*",),
        images=("docker.io/library/busybox",),
        host_namespaces="NPI", source="kubernetes-sigs/headlamp frontend/src/components/node/NodeShellTerminal.tsx",
        version="v0.45.0",
    ),
    Agent(
        "kubectl-node-shell", _D, None,
        namespaces=(), accounts=(), workloads=("nsenter-*",),
        images=("docker.io/library/alpine",),
        host_namespaces="NPI", source="kvaps/kubectl-node-shell kubectl-node_shell", version="v1.11.0",
    ),
    Agent(
        "ksniff", _D, None,
        namespaces=(), accounts=(), workloads=("ksniff-*",),
        images=("docker.io/hamravesh/ksniff-helper", "docker.io/maintained/tcpdump", "docker.io/library/docker"),
        host_namespaces="P", source="eldadru/ksniff kube/kubernetes_api_service.go", version="b0b737c",
    ),
    Agent(
        "kubectl-trace", _D, None,
        namespaces=(), accounts=(), workloads=("kubectl-trace-*",),
        images=("quay.io/iovisor/kubectl-trace-runner", "quay.io/iovisor/kubectl-trace-init"),
        host_namespaces="P", source="iovisor/kubectl-trace pkg/tracejob/job.go", version="42eaafc",
    ),
    Agent(
        "Inspektor Gadget", _D, None,
        namespaces=("gadget",), accounts=("gadget",), workloads=("gadget",),
        images=("ghcr.io/inspektor-gadget/inspektor-gadget", "ghcr.io/inspektor-gadget/gpu-ebpf-bridge"),
        host_namespaces="NP", source="inspektor-gadget/inspektor-gadget charts/gadget/templates/daemonset.yaml",
        version="aeac857",
    ),
    Agent(
        "kube-bench", _D, None,
        namespaces=(), accounts=(), workloads=("kube-bench", "kube-bench-master", "kube-bench-node"),
        images=("docker.io/aquasec/kube-bench",),
        host_namespaces="P", source="aquasecurity/kube-bench job.yaml", version="v0.15.6",
    ),
    Agent(
        "Kubescape host scanner", _D, None,
        namespaces=("kubescape-host-scanner",), accounts=(), workloads=("host-scanner",),
        images=("quay.io/kubescape/host-scanner",),
        host_namespaces="NPI", source="kubescape/kubescape core/pkg/hostsensorutils/hostsensor.yaml", version="01c6519",
    ),
    Agent(
        "Cilium connectivity test", _D, None,
        namespaces=("cilium-test-*",), accounts=(), workloads=("host-netns", "host-netns-non-cilium"),
        images=("quay.io/cilium/alpine-curl",),
        host_namespaces="N",
        source="cilium/cilium-cli vendor/github.com/cilium/cilium/cilium-cli/connectivity/check/deployment.go",
        version="e694be3",
    ),
)  # fmt: skip
