"""Layers, models, aggregations and normalisations of PyTorch Geometric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from corpus.case import Case, InputMaker, Inputs

NODES, EDGES = 10, 30


def _edges() -> Tensor:
    return torch.randint(NODES, (2, EDGES))


def graph(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8), _edges())


def with_edge_weights(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8), _edges(), torch.rand(EDGES, 3))


def with_edge_types(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8), _edges(), torch.randint(2, (EDGES,)))


def with_positions(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8), torch.randn(NODES, 3), _edges())


def nodes(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8),)


def molecule(model: nn.Module) -> Inputs:
    batch = torch.zeros(6, dtype=torch.long)
    return (torch.randint(1, 9, (6,)), torch.randn(6, 3), batch)


def hetero(model: nn.Module) -> Inputs:
    x = {"a": torch.randn(4, 8), "b": torch.randn(5, 8)}
    index = torch.randint(4, (2, 6))
    return (x, {("a", "to", "b"): index, ("b", "to", "a"): index.flip(0)})


METADATA = (["a", "b"], [("a", "to", "b"), ("b", "to", "a")])


def mlp(*sizes: int) -> nn.Module:
    from torch_geometric.nn import MLP

    return MLP(list(sizes))


def corruption(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    return x.flip(0), edges


def summary(z: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return z.mean(dim=0).sigmoid()


def layers() -> dict[str, tuple[Callable[[], tuple[Any, ...]], dict[str, Any], InputMaker]]:
    """Return arguments and inputs of layers; modules among them are made when they are needed."""
    degrees = torch.ones(5, dtype=torch.long)
    return {
        "SimpleConv": (tuple, {}, graph),
        "GCNConv": (lambda: (8, 4), {"improved": True}, graph),
        "ChebConv": (lambda: (8, 4, 3), {}, graph),
        "SAGEConv": (lambda: (8, 4), {"aggr": ["mean", "max"], "project": True}, graph),
        "GraphConv": (lambda: (8, 4), {}, graph),
        "GatedGraphConv": (lambda: (8, 2), {}, graph),
        "ResGatedGraphConv": (lambda: (8, 4), {}, graph),
        "GATConv": (lambda: (8, 4), {"heads": 2}, graph),
        "GATv2Conv": (lambda: (8, 4), {"heads": 2, "edge_dim": 3}, with_edge_weights),
        "TransformerConv": (lambda: (8, 4), {"heads": 2, "beta": True}, graph),
        "AGNNConv": (tuple, {}, graph),
        "TAGConv": (lambda: (8, 4), {}, graph),
        "GINConv": (lambda: (mlp(8, 4),), {"train_eps": True}, graph),
        "GINEConv": (lambda: (mlp(8, 4),), {"edge_dim": 3}, with_edge_weights),
        "ARMAConv": (lambda: (8, 4), {"num_stacks": 2, "num_layers": 2}, graph),
        "SGConv": (lambda: (8, 4), {"K": 2}, graph),
        "SSGConv": (lambda: (8, 4, 0.1), {}, graph),
        "APPNP": (lambda: (2, 0.1), {}, graph),
        "MFConv": (lambda: (8, 4), {}, graph),
        "RGCNConv": (lambda: (8, 4, 2), {"num_bases": 2}, with_edge_types),
        "FastRGCNConv": (lambda: (8, 4, 2), {}, with_edge_types),
        "RGATConv": (lambda: (8, 4, 2), {}, with_edge_types),
        "SignedConv": (lambda: (8, 4), {"first_aggr": True}, lambda m: (*graph(m), _edges())),
        "DNAConv": (lambda: (8,), {"heads": 2}, lambda m: (torch.randn(NODES, 3, 8), _edges())),
        "PointNetConv": (lambda: (mlp(11, 4), mlp(4, 4)), {}, with_positions),
        "GMMConv": (lambda: (8, 4), {"dim": 3, "kernel_size": 2}, with_edge_weights),
        "NNConv": (lambda: (8, 4, mlp(3, 32)), {}, with_edge_weights),
        "CGConv": (lambda: (8,), {"dim": 3, "batch_norm": True}, with_edge_weights),
        "EdgeConv": (lambda: (mlp(16, 4),), {}, graph),
        "FeaStConv": (lambda: (8, 4), {"heads": 2}, graph),
        "PointTransformerConv": (lambda: (8, 4), {}, with_positions),
        "HypergraphConv": (lambda: (8, 4), {}, graph),
        "LEConv": (lambda: (8, 4), {}, graph),
        "PNAConv": (
            lambda: (8, 4, ["mean", "std"], ["identity", "linear"], degrees),
            {},
            graph,
        ),
        "ClusterGCNConv": (lambda: (8, 4), {}, graph),
        "GENConv": (lambda: (8, 4), {"learn_t": True}, graph),
        "GCN2Conv": (
            lambda: (8, 0.1),
            {},
            lambda m: (torch.randn(10, 8), torch.randn(10, 8), _edges()),
        ),
        "FiLMConv": (lambda: (8, 4), {"num_relations": 2}, with_edge_types),
        "SuperGATConv": (lambda: (8, 4), {"heads": 2}, graph),
        "FAConv": (lambda: (8,), {}, lambda m: (torch.randn(10, 8), torch.randn(10, 8), _edges())),
        "EGConv": (lambda: (8, 8), {"num_heads": 2}, graph),
        "PDNConv": (lambda: (8, 4, 3, 6), {}, with_edge_weights),
        "GeneralConv": (lambda: (8, 4), {"attention": True, "heads": 2}, graph),
        "HGTConv": (lambda: (8, 4, METADATA), {"heads": 2}, hetero),
        "HANConv": (lambda: (8, 4, METADATA), {"heads": 2}, hetero),
        "HEATConv": (
            lambda: (8, 4, 2, 2, 3, 3, 3),
            {},
            lambda m: (
                torch.randn(10, 8),
                _edges(),
                torch.randint(2, (10,)),
                torch.randint(2, (EDGES,)),
                torch.randn(EDGES, 3),
            ),
        ),
        "LGConv": (tuple, {}, graph),
        "PointGNNConv": (
            lambda: (mlp(8, 3), mlp(11, 8), mlp(8, 8)),
            {},
            with_positions,
        ),
        "MixHopConv": (lambda: (8, 4), {"powers": [0, 1, 2]}, graph),
        "WLConv": (tuple, {}, lambda m: (torch.randint(3, (NODES,)), _edges())),
        "WLConvContinuous": (tuple, {}, graph),
        "AntiSymmetricConv": (lambda: (8,), {}, graph),
    }


def models() -> dict[str, tuple[Callable[[], nn.Module], InputMaker | None]]:
    """Return makers and inputs of models."""
    from torch_geometric import nn as geometric

    def conv() -> nn.Module:
        return geometric.GCNConv(8, 8)

    basic = {
        name: (partial(getattr(geometric, name), 8, 6, num_layers=2, out_channels=3), graph)
        for name in ("GCN", "GraphSAGE", "GIN", "GAT", "EdgeCNN")
    }
    small = {
        "hidden_channels": 8,
        "out_channels": 1,
        "num_blocks": 1,
        "num_spherical": 2,
        "num_radial": 2,
    }
    return {
        **basic,
        "GCN, jumping": (
            partial(geometric.GCN, 8, 6, num_layers=2, jk="lstm", norm="batch_norm", act="elu"),
            graph,
        ),
        "PNA": (
            partial(
                geometric.PNA,
                8,
                6,
                num_layers=2,
                aggregators=["mean"],
                scalers=["identity"],
                deg=torch.ones(5, dtype=torch.long),
            ),
            graph,
        ),
        "MLP": (partial(geometric.MLP, [8, 6, 3], dropout=[0.1, 0.0]), nodes),
        "JumpingKnowledge": (
            partial(geometric.JumpingKnowledge, "lstm", channels=8, num_layers=2),
            lambda m: ([torch.randn(10, 8), torch.randn(10, 8)],),
        ),
        "HeteroJumpingKnowledge": (
            partial(geometric.HeteroJumpingKnowledge, ["a", "b"], "lstm", channels=8, num_layers=2),
            None,
        ),
        "DeepGraphInfomax": (
            lambda: geometric.DeepGraphInfomax(8, conv(), summary, corruption),
            graph,
        ),
        "GAE": (lambda: geometric.GAE(conv()), graph),
        "VGAE": (lambda: geometric.VGAE(_Variational()), graph),
        "ARGA": (lambda: geometric.ARGA(conv(), mlp(8, 1)), graph),
        "ARGVA": (lambda: geometric.ARGVA(_Variational(), mlp(8, 1)), graph),
        "SignedGCN": (partial(geometric.SignedGCN, 8, 6, 2), lambda m: (*graph(m), _edges())),
        "GraphUNet": (partial(geometric.GraphUNet, 8, 6, 3, depth=2), graph),
        "SchNet": (
            partial(geometric.SchNet, hidden_channels=8, num_filters=8, num_interactions=1),
            None,
        ),
        "DimeNet": (partial(geometric.DimeNet, num_bilinear=2, **small), None),
        "DimeNetPlusPlus": (
            partial(
                geometric.DimeNetPlusPlus,
                int_emb_size=4,
                basis_emb_size=4,
                out_emb_channels=4,
                **small,
            ),
            None,
        ),
        "GPSE": (partial(geometric.GPSE, dim_inner=16, layers_mp=2), None),
        "AttentiveFP": (
            partial(geometric.AttentiveFP, 8, 6, 3, edge_dim=3, num_layers=2, num_timesteps=2),
            lambda m: (*with_edge_weights(m), torch.zeros(NODES, dtype=torch.long)),
        ),
        "RECT_L": (partial(geometric.RECT_L, 8, 6), graph),
        "LINKX": (partial(geometric.LINKX, NODES, 8, 6, 3, 2), graph),
        "LightGCN": (partial(geometric.LightGCN, NODES, 8, 2), lambda m: (_edges(),)),
        "MaskLabel": (partial(geometric.MaskLabel, 3, 8), None),
        "GroupAddRev": (
            lambda: geometric.GroupAddRev(geometric.GCNConv(4, 4), num_groups=2),
            None,  # a forward pass empties its inputs
        ),
        "DeepGCNLayer": (
            lambda: geometric.DeepGCNLayer(conv(), nn.LayerNorm(8), nn.ReLU(), block="res+"),
            graph,
        ),
        "PMLP": (partial(geometric.PMLP, 8, 6, 3, 2), graph),
        "NeuralFingerprint": (partial(geometric.NeuralFingerprint, 8, 6, 3, 2), graph),
        "GNNFF": (partial(geometric.GNNFF, 8, 8, 1), None),
        "ViSNet": (partial(geometric.ViSNet, num_layers=1, hidden_channels=16, num_rbf=4), None),
        "SGFormer": (
            partial(geometric.SGFormer, 8, 6, 3),
            lambda m: (*graph(m), torch.zeros(NODES, dtype=torch.long)),
        ),
        "Polynormer": (
            partial(geometric.Polynormer, 8, 6, 3, local_layers=2, global_layers=1),
            lambda m: (*graph(m), torch.zeros(NODES, dtype=torch.long)),
        ),
        "ARLinkPredictor": (partial(geometric.ARLinkPredictor, 8, 6), None),
        "LabelPropagation": (partial(geometric.LabelPropagation, 2, 0.5), None),
        "CorrectAndSmooth": (partial(geometric.CorrectAndSmooth, 2, 0.5, 2, 0.5), None),
        "MetaLayer": (lambda: geometric.MetaLayer(node_model=None), None),
        "GPSConv": (lambda: geometric.GPSConv(8, conv(), heads=2), graph),
        "DirGNNConv": (lambda: geometric.DirGNNConv(conv()), graph),
        "HeteroConv": (
            lambda: geometric.HeteroConv(
                {edge: geometric.SAGEConv((8, 8), 4) for edge in METADATA[1]}, aggr="sum"
            ),
            hetero,
        ),
        "to_hetero": (lambda: geometric.to_hetero(geometric.GraphSAGE(8, 6, 2), METADATA), hetero),
        "Sequential": (
            lambda: geometric.Sequential(
                "x, edge_index",
                [
                    (geometric.GCNConv(8, 6), "x, edge_index -> x"),
                    nn.ReLU(inplace=True),
                    (geometric.GCNConv(6, 3), "x, edge_index -> x"),
                ],
            ),
            graph,
        ),
        "Lazy GCNConv, after a forward": (_lazy, graph),
        "GCNConv, cached": (_cached, graph),
    }


class _Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from torch_geometric.nn import GCNConv

        self.mean, self.deviation = GCNConv(8, 8), GCNConv(8, 8)

    def forward(self, x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x, edges), self.deviation(x, edges)


def _lazy() -> nn.Module:
    from torch_geometric.nn import GCNConv

    layer = GCNConv(-1, 4)
    layer(torch.randn(NODES, 8), _edges())
    return layer


def _cached() -> nn.Module:
    from torch_geometric.nn import GCNConv

    layer = GCNConv(8, 4, cached=True)
    layer(torch.randn(NODES, 8), _edges())
    return layer


AGGREGATIONS: dict[str, tuple[Any, ...]] = {
    "SumAggregation": (),
    "MeanAggregation": (),
    "MaxAggregation": (),
    "MinAggregation": (),
    "MulAggregation": (),
    "VarAggregation": (),
    "StdAggregation": (),
    "SoftmaxAggregation": (1.0, True),
    "PowerMeanAggregation": (1.0, True),
    "MedianAggregation": (),
    "LSTMAggregation": (8, 4),
    "GRUAggregation": (8, 4),
    "Set2Set": (8, 2),
    "SortAggregation": (3,),
    "EquilibriumAggregation": (8, 4, [6], 1),
    "GraphMultisetTransformer": (8, 3),
    "SetTransformerAggregation": (8,),
    "DeepSetsAggregation": (),
    "PatchTransformerAggregation": (8, 4, 2, 8),
    "VariancePreservingAggregation": (),
}

NORMALISATIONS: dict[str, tuple[Any, ...]] = {
    "BatchNorm": (8,),
    "InstanceNorm": (8,),
    "LayerNorm": (8,),
    "GraphNorm": (8,),
    "PairNorm": (),
    "MeanSubtractionNorm": (),
    "MessageNorm": (True,),
    "DiffGroupNorm": (8, 2),
    "GraphSizeNorm": (),
    "HeteroBatchNorm": (8, 2),
    "HeteroLayerNorm": (8, 2),
}


def cases() -> Iterator[Case]:
    from torch_geometric import nn as geometric

    for name, (given, keywords, inputs) in layers().items():
        yield Case(name, partial(getattr(geometric, name), *given(), **keywords), inputs)
    for name, (make, its_inputs) in models().items():
        yield Case(name, make, its_inputs)
    for name, arguments in AGGREGATIONS.items():
        plain = name not in ("PatchTransformerAggregation", "EquilibriumAggregation")
        yield Case(name, partial(getattr(geometric, name), *arguments), _sorted if plain else None)
    for name, arguments in NORMALISATIONS.items():
        one = not name.startswith(("Hetero", "Message"))
        yield Case(name, partial(getattr(geometric, name), *arguments), nodes if one else None)
    for name in ("TopKPooling", "SAGPooling", "ASAPooling"):
        yield Case(name, partial(getattr(geometric, name), 8), graph)


def _sorted(model: nn.Module) -> Inputs:
    return (torch.randn(NODES, 8), torch.tensor([0] * 4 + [1] * 6))
