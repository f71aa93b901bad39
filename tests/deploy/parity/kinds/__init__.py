"""All kinds of resources that are compared. A resource that is of none of them is a difference."""

from kinds import data, edge, network, observability, service

# What a resource refers to in its key comes before it.
KINDS = network.KINDS + data.KINDS + edge.KINDS + service.KINDS + observability.KINDS
