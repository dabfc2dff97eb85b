"""The helper that lists containers, against an engine in which one goes at the wrong moment."""

from types import SimpleNamespace

import docker
from docker.models.containers import ContainerCollection

from tests.docker.containers import listed


def test_a_container_that_goes_between_the_list_and_its_inspection_is_left_out():
    def inspect(container_id):
        if container_id == "gone":
            raise docker.errors.NotFound("no such container")
        return {"Id": container_id, "Name": f"/{container_id}"}

    def containers(**asked):
        assert (asked["all"], asked["filters"]) == (True, {"name": "seat"})
        return [{"Id": "gone"}, {"Id": "stays"}]

    client = SimpleNamespace(api=SimpleNamespace(containers=containers, inspect_container=inspect))
    client.containers = ContainerCollection(client=client)
    assert [container.name for container in listed(client, name="seat")] == ["stays"]
