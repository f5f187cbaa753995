"""The networks of MONAI, two- and three-dimensional, small."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus.case import Case, InputMaker, Inputs, floats

Arguments = tuple[dict[str, Any], InputMaker | None]

flat, solid = floats(1, 1, 32, 32), floats(1, 1, 32, 32, 32)
SMALL = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}


def _with_time(*shape: int) -> InputMaker:
    def make(model: nn.Module) -> Inputs:
        return (torch.randn(shape), torch.tensor([3]))

    return make


def arguments() -> dict[str, list[Arguments]]:
    """Return, by class, arguments and inputs; a class may have several."""
    return {
        "AHNet": [
            ({"layers": (1, 1, 1, 1), "spatial_dims": 2, "psp_block_num": 0}, floats(1, 1, 64, 64))
        ],
        "AttentionUnet": [({**SMALL, "channels": (4, 8, 16), "strides": (2, 2)}, flat)],
        "AutoEncoder": [({**SMALL, "channels": (4, 8), "strides": (2, 2)}, flat)],
        "AutoencoderKL": [
            (
                {
                    **SMALL,
                    "out_channels": 1,
                    "channels": (4, 8),
                    "num_res_blocks": (1, 1),
                    "attention_levels": (False, True),
                    "norm_num_groups": 4,
                },
                flat,
            )
        ],
        "BasicUNet": [
            ({**SMALL, "features": (4, 4, 8, 8, 8, 4)}, flat),
            (
                {"spatial_dims": 3, "features": (4, 4, 8, 8, 8, 4), "act": "GELU", "norm": "batch"},
                solid,
            ),
        ],
        "BasicUNetPlusPlus": [({**SMALL, "features": (4, 4, 8, 8, 8, 4)}, flat)],
        "Classifier": [
            ({"in_shape": (1, 32, 32), "classes": 3, "channels": (4, 8), "strides": (2, 2)}, flat)
        ],
        "Critic": [({"in_shape": (1, 32, 32), "channels": (4, 8), "strides": (2, 2)}, flat)],
        "Discriminator": [({"in_shape": (1, 32, 32), "channels": (4, 8), "strides": (2, 2)}, flat)],
        "Generator": [
            (
                {
                    "latent_shape": (8,),
                    "start_shape": (4, 8, 8),
                    "channels": (4, 1),
                    "strides": (2, 1),
                },
                floats(2, 8),
            )
        ],
        "Regressor": [
            (
                {"in_shape": (1, 32, 32), "out_shape": (2,), "channels": (4, 8), "strides": (2, 2)},
                flat,
            )
        ],
        "ControlNet": [
            (
                {
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "num_res_blocks": (1, 1),
                    "channels": (8, 8),
                    "attention_levels": (False, True),
                    "norm_num_groups": 8,
                    "num_head_channels": 4,
                    "conditioning_embedding_in_channels": 1,
                    "conditioning_embedding_num_channels": (4,),
                },
                lambda model: (
                    torch.randn(1, 1, 16, 16),
                    torch.tensor([3]),
                    torch.randn(1, 1, 16, 16),
                ),
            )
        ],
        "DenseNet": [
            ({**SMALL, "init_features": 8, "growth_rate": 4, "block_config": (2, 2)}, flat)
        ],
        "DenseNet121": [(SMALL, flat)],
        "DenseNet169": [(SMALL, flat)],
        "DiffusionModelUNet": [
            (
                {
                    **SMALL,
                    "out_channels": 1,
                    "channels": (8, 8),
                    "num_res_blocks": 1,
                    "attention_levels": (False, True),
                    "norm_num_groups": 8,
                    "num_head_channels": 4,
                },
                _with_time(1, 1, 16, 16),
            )
        ],
        "DynUNet": [
            (
                {
                    **SMALL,
                    "kernel_size": [3, 3, 3],
                    "strides": [1, 2, 2],
                    "upsample_kernel_size": [2, 2],
                    "filters": [4, 8, 8],
                    "deep_supervision": True,
                },
                flat,
            )
        ],
        "EfficientNetBN": [
            (
                {"model_name": f"efficientnet-b{n}", "pretrained": False, "spatial_dims": 2},
                floats(1, 3, 64, 64),
            )
            for n in (0, 1)
        ],
        "EfficientNetBNFeatures": [
            ({"model_name": "efficientnet-b0", "pretrained": False}, floats(1, 3, 64, 64))
        ],
        "FlexibleUNet": [
            (
                {
                    "in_channels": 1,
                    "out_channels": 2,
                    "backbone": "resnet10",
                    "decoder_channels": (16, 16, 8, 8, 8),
                },
                floats(1, 1, 64, 64),
            )
        ],
        "FullyConnectedNet": [
            (
                {"in_channels": 8, "out_channels": 2, "hidden_channels": (8, 4), "dropout": 0.1},
                floats(3, 8),
            )
        ],
        "VarFullyConnectedNet": [
            (
                {
                    "in_channels": 8,
                    "out_channels": 8,
                    "latent_size": 2,
                    "encode_channels": (8, 4),
                    "decode_channels": (4, 8),
                },
                floats(3, 8),
            )
        ],
        "HighResNet": [(SMALL, flat)],
        "HoVerNet": [({"out_classes": 3}, None)],
        "MaskedAutoEncoderViT": [
            (
                {
                    "in_channels": 1,
                    "img_size": 32,
                    "patch_size": 8,
                    "hidden_size": 32,
                    "mlp_dim": 32,
                    "num_layers": 1,
                    "num_heads": 4,
                    "decoder_hidden_size": 32,
                    "decoder_mlp_dim": 32,
                    "decoder_num_layers": 1,
                    "decoder_num_heads": 4,
                    "spatial_dims": 2,
                },
                flat,
            )
        ],
        "MedNeXt": [
            (
                {
                    **SMALL,
                    "init_filters": 4,
                    "blocks_down": (1, 1),
                    "blocks_up": (1, 1),
                    "blocks_bottleneck": 1,
                },
                flat,
            )
        ],
        "PatchDiscriminator": [({"spatial_dims": 2, "channels": 4, "in_channels": 1}, flat)],
        "MultiScalePatchDiscriminator": [
            (
                {"num_d": 2, "num_layers_d": 1, "spatial_dims": 2, "channels": 4, "in_channels": 1},
                floats(1, 1, 64, 64),
            )
        ],
        "Quicknat": [
            ({"num_classes": 3, "num_channels": 1, "num_filters": 8}, floats(1, 1, 64, 64))
        ],
        "RegUNet": [
            (
                {
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "num_channel_initial": 4,
                    "depth": 2,
                    "out_channels": 2,
                },
                flat,
            )
        ],
        "LocalNet": [
            (
                {
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "num_channel_initial": 4,
                    "extract_levels": (0, 1),
                    "out_kernel_initializer": "kaiming_uniform",
                    "out_activation": None,
                    "out_channels": 2,
                },
                flat,
            )
        ],
        "GlobalNet": [
            (
                {
                    "image_size": (32, 32),
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "num_channel_initial": 4,
                    "depth": 2,
                },
                flat,
            )
        ],
        "ResNet": [
            (
                {
                    "block": "basic",
                    "layers": [1, 1, 1, 1],
                    "block_inplanes": [4, 8, 8, 8],
                    "spatial_dims": 2,
                    "n_input_channels": 1,
                    "num_classes": 3,
                },
                flat,
            )
        ],
        "SegResNet": [({**SMALL, "init_filters": 8}, flat)],
        "SegResNetVAE": [
            ({"input_image_size": (32, 32), "spatial_dims": 2, "init_filters": 8}, None)
        ],
        "SegResNetDS": [({**SMALL, "init_filters": 8, "blocks_down": (1, 1)}, flat)],
        "SegResNetDS2": [({**SMALL, "init_filters": 8, "blocks_down": (1, 1)}, flat)],
        "SENet": [
            (
                {
                    "spatial_dims": 2,
                    "in_channels": 1,
                    "block": "se_resnet_bottleneck",
                    "layers": (1, 1, 1, 1),
                    "groups": 1,
                    "reduction": 16,
                    "num_classes": 2,
                },
                floats(1, 1, 64, 64),
            )
        ],
        "SPADEAutoencoderKL": [
            (
                {
                    **SMALL,
                    "out_channels": 1,
                    "label_nc": 3,
                    "channels": (4, 8),
                    "num_res_blocks": (1, 1),
                    "attention_levels": (False, False),
                    "norm_num_groups": 4,
                },
                lambda model: (torch.randn(1, 1, 16, 16), torch.randn(1, 3, 16, 16)),
            )
        ],
        "SPADEDiffusionModelUNet": [
            (
                {
                    **SMALL,
                    "out_channels": 1,
                    "label_nc": 3,
                    "channels": (8, 8),
                    "num_res_blocks": 1,
                    "attention_levels": (False, True),
                    "norm_num_groups": 8,
                    "num_head_channels": 4,
                },
                lambda model: (
                    torch.randn(1, 1, 16, 16),
                    torch.tensor([3]),
                    torch.randn(1, 3, 16, 16),
                ),
            )
        ],
        "SwinUNETR": [
            (
                {
                    "in_channels": 1,
                    "out_channels": 2,
                    "depths": (1, 1, 1, 1),
                    "num_heads": (1, 2, 2, 2),
                    "feature_size": 12,
                    "spatial_dims": 2,
                    "use_v2": v2,
                },
                floats(1, 1, 64, 64),
            )
            for v2 in (False, True)
        ],
        "DecoderOnlyTransformer": [
            (
                {
                    "num_tokens": 20,
                    "max_seq_len": 16,
                    "attn_layers_dim": 16,
                    "attn_layers_depth": 1,
                    "attn_layers_heads": 2,
                },
                lambda model: (torch.randint(20, (1, 8)),),
            )
        ],
        "UNet": [
            ({**SMALL, "channels": (4, 8, 16), "strides": (2, 2), "num_res_units": n}, flat)
            for n in (0, 2)
        ],
        "UNETR": [
            (
                {
                    "in_channels": 1,
                    "out_channels": 2,
                    "img_size": 32,
                    "feature_size": 4,
                    "hidden_size": 32,
                    "mlp_dim": 32,
                    "num_heads": 4,
                    "spatial_dims": 2,
                },
                flat,
            )
        ],
        "VarAutoEncoder": [
            (
                {
                    "spatial_dims": 2,
                    "in_shape": (1, 32, 32),
                    "out_channels": 1,
                    "latent_size": 2,
                    "channels": (4, 8),
                    "strides": (2, 2),
                },
                flat,
            )
        ],
        "ViT": [
            (
                {
                    "in_channels": 1,
                    "img_size": 32,
                    "patch_size": 8,
                    "hidden_size": 32,
                    "mlp_dim": 32,
                    "num_layers": 2,
                    "num_heads": 4,
                    "spatial_dims": 2,
                    "classification": head,
                },
                flat,
            )
            for head in (False, True)
        ],
        "ViTAutoEnc": [
            (
                {
                    "in_channels": 1,
                    "img_size": 32,
                    "patch_size": 4,
                    "hidden_size": 32,
                    "mlp_dim": 32,
                    "num_layers": 1,
                    "num_heads": 4,
                    "spatial_dims": 2,
                },
                flat,
            )
        ],
        "VNet": [({"spatial_dims": 2, "dropout_dim": 2, "out_channels": 2}, flat)],
        "VQVAE": [
            (
                {
                    **SMALL,
                    "out_channels": 1,
                    "channels": (8, 8),
                    "num_res_channels": (8, 8),
                    "num_res_layers": 1,
                    "downsample_parameters": ((2, 4, 1, 1),) * 2,
                    "upsample_parameters": ((2, 4, 1, 1, 0),) * 2,
                    "num_embeddings": 8,
                    "embedding_dim": 4,
                },
                flat,
            )
        ],
    }


def cases() -> Iterator[Case]:
    from monai.networks import nets

    for name, variants in arguments().items():
        for index, (keywords, inputs) in enumerate(variants):
            number = f" {index + 1}" if len(variants) > 1 else ""
            yield Case(f"{name}{number}", partial(getattr(nets, name), **keywords), inputs)
    for name in ("resnet10", "resnet18"):
        make = partial(getattr(nets, name), spatial_dims=2, n_input_channels=1, num_classes=2)
        yield Case(name, make, flat)
    for name in ("SEResNet50", "SEResNext50", "DenseNet201"):
        more = {"out_channels": 2} if name.startswith("Dense") else {"num_classes": 2}
        make = partial(getattr(nets, name), spatial_dims=2, in_channels=1, **more)
        yield Case(name, make, floats(1, 1, 64, 64))
