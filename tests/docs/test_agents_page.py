"""docs/howto/exceptions-for-agents.md shows the exceptions of tests/samples; tests/e2e proves them the smallest."""

from hostnetwork_operator.api import policy
from tests.docs import markdown
from tests.e2e import agents

PAGE = markdown.ROOT / "docs" / "howto" / "exceptions-for-agents.md"
FOR_PEOPLE = {"tcpdump", "node-debug"}


def test_the_page_shows_every_exception_of_an_agent_word_for_word() -> None:
    """Each block equals the file that it names, and each file has a block, except the files for people."""
    shown_files = markdown.files(PAGE)
    files = {
        str(path.relative_to(markdown.ROOT)): path.read_text()
        for path in (agents.SAMPLES / "exceptions").glob("*.yaml")
        if path.stem not in FOR_PEOPLE
    }
    assert shown_files == files
    assert PAGE.read_text().count("```yaml") == len(shown_files)


def test_every_agent_has_a_namespace_of_its_own() -> None:
    """No two samples share a namespace, no namespace is exempt, and no sample sets its namespace."""
    namespaces = []
    for name in agents.NAMES:
        sample = agents.Sample.read(name, "2027-01-31T00:00:00Z")
        namespaces.append(sample.exception["metadata"]["namespace"])
        assert not any("namespace" in body["metadata"] for body in sample.objects), name
    exempt = policy.PolicySpec.model_fields["exempt_namespaces"].get_default(call_default_factory=True)
    assert len(set(namespaces)) == len(namespaces)
    assert set(namespaces) & set(exempt) == set()


def test_no_two_agents_listen_on_one_port_of_a_node() -> None:
    """tests/e2e runs all agents at the same time, and the scheduler would not place a second pod with the same port."""
    ports = [
        (port[number], port.get("protocol", "TCP"))
        for sample in agents.read("2027-01-31T00:00:00Z").values()
        for number in ["containerPort" if sample.pod["spec"].get("hostNetwork") else "hostPort"]
        for container in sample.pod["spec"]["containers"]
        for port in container.get("ports", [])
        if number in port
    ]
    assert len(set(ports)) == len(ports)


def test_a_sample_without_an_exception_is_one_that_should_have_none() -> None:
    """Only the ordinary application and the application that uses the node's network by mistake have no exception."""
    assert {path.stem for path in agents.SAMPLES.glob("*.yaml")} - set(agents.NAMES) == {"web", "by-mistake"}
