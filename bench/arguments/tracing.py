"""The command about models that run here: trace."""

from typing import Any

from bench.arguments.commands import add_json, command
from bench.arguments.values import whole
from instances.extraction import WIDTHS


def add_trace(commands: Any) -> None:
    """Add ``trace``."""
    parser = command(
        commands,
        "trace",
        "trace",
        "run prompts through a Hugging Face model here and record which experts they use",
        about=(
            "Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE, DeepSeek-V2, DeepSeek-V3 and gpt-oss, on the\n"
            "CPU, from a folder: nothing is downloaded, no code of the model is run.\n"
            "Needs the extra moeplace[trace]."
        ),
        example=(
            "  moeplace trace --model models/OLMoE-1B-7B --prompts prompts.txt -o routes.npz\n"
            "  moeplace trace --model models/gpt-oss-20b --prompts chats.jsonl --generate 200 \\\n"
            "      --architecture gpt-oss.json -o routes.npz"
        ),
    )
    parser.add_argument(
        "--model", required=True, metavar="PATH", help="folder with config.json and safetensors"
    )
    parser.add_argument(
        "--prompts",
        required=True,
        metavar="FILE",
        help=".txt with a prompt a line, or .jsonl with prompt or token_ids, and optionally user",
    )
    parser.add_argument(
        "--generate",
        type=whole,
        default=0,
        metavar="N",
        help="tokens to generate after each prompt, always the likeliest; default: 0",
    )
    parser.add_argument(
        "--max-tokens", type=whole, metavar="N", help="use the first N tokens of a prompt"
    )
    parser.add_argument(
        "--batch-size", type=whole, default=8, metavar="N", help="prompts at a time; default: 8"
    )
    parser.add_argument(
        "--dtype", choices=WIDTHS, default="auto", help="of the weights; default: as in the files"
    )
    parser.add_argument(
        "--architecture", metavar="FILE", help="also write the model's architecture: .json"
    )
    parser.add_argument("--name", metavar="NAME", help="of the architecture; default: the folder's")
    parser.add_argument(
        "--force", action="store_true", help="replace requests.json beside the routes"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="routes file: .npz")
    add_json(parser)
