"""torch's DataLoader with two workers, after the parent has used torch's threads: torch_loader.py
METHOD THREADS FOLDER. THREADS is what each worker sets: one (what DataLoader does by itself) or
four.
"""

import sys

import torch
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, number):
        return torch.full((2_000_000,), float(number)).exp().sum()


def use_four_threads(_):
    torch.set_num_threads(4)


def main(method, threads, _):
    torch.set_num_threads(4)
    torch.rand(2_000_000).exp().sum()
    loader = DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context=method,
                        worker_init_fn=use_four_threads if threads == "four" else None)
    print(f"{sum(len(batch) for batch in loader)} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
