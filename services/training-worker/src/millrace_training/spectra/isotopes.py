"""Photon lines of the fifteen sources that the isotope recipe tells apart, and of natural background.

Energies in keV, intensities in photons per 100 decays, rounded; lines under about 1 % of a source are left
out. Source: Evaluated Nuclear Structure Data File (ENSDF) of the National Nuclear Data Center, Brookhaven, as
NuDat 3 shows it, in agreement with the IAEA's decay data standards for detector calibration (STI/PUB/1287,
2007) where that has the nuclide. Ra-226 and Th-232 stand in equilibrium with their daughters; lines of Tl-208
are multiplied by the branching of Bi-212, 35.94 %. X-rays of one shell are one line at their mean energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Lines = tuple[tuple[float, float], ...]
"""Pairs of energy in keV and photons per 100 decays."""

LINES: Mapping[str, Lines] = MappingProxyType(
    {
        'Am-241': ((26.34, 2.3), (59.54, 35.9)),
        'Ba-133': (
            (30.9, 96.4), (35.1, 22.4), (53.16, 2.14), (79.61, 2.65), (81.00, 32.9), (276.40, 7.16),
            (302.85, 18.34), (356.01, 62.05), (383.85, 8.94),
        ),
        'Co-57': ((122.06, 85.60), (136.47, 10.68)),
        'Co-60': ((1173.23, 99.85), (1332.49, 99.98)),
        'Cs-134': (
            (475.37, 1.48), (563.25, 8.34), (569.33, 15.37), (604.72, 97.62), (795.86, 85.46),
            (801.95, 8.69), (1038.61, 0.99), (1167.97, 1.79), (1365.19, 3.02),
        ),
        'Cs-137': ((32.1, 5.6), (36.5, 1.3), (661.66, 85.10)),
        'Eu-152': (
            (39.9, 59.0), (45.6, 14.9), (121.78, 28.53), (244.70, 7.55), (344.28, 26.59), (411.12, 2.24),
            (443.96, 2.83), (778.90, 12.93), (867.38, 4.23), (964.06, 14.51), (1085.84, 10.11),
            (1089.74, 1.73), (1112.08, 13.67), (1212.95, 1.42), (1299.14, 1.63), (1408.01, 20.87),
        ),
        'I-131': ((80.19, 2.62), (284.31, 6.12), (364.49, 81.5), (636.99, 7.16), (722.91, 1.77)),
        'Ir-192': (
            (205.79, 3.31), (295.96, 28.71), (308.46, 29.70), (316.51, 82.86), (468.07, 47.84),
            (484.58, 3.19), (588.58, 4.52), (604.41, 8.22), (612.46, 5.34),
        ),
        'K-40': ((1460.82, 10.66),),
        'Mn-54': ((834.85, 99.98),),
        'Na-22': ((511.00, 180.76), (1274.54, 99.94)),
        'Ra-226': (
            (186.21, 3.56), (242.00, 7.27), (295.22, 18.41), (351.93, 35.60), (609.32, 45.49),
            (665.45, 1.53), (768.36, 4.89), (806.17, 1.26), (934.06, 3.11), (1120.29, 14.92),
            (1155.21, 1.63), (1238.12, 5.83), (1280.98, 1.43), (1377.67, 3.99), (1401.52, 1.33),
            (1407.99, 2.39), (1509.21, 2.13), (1661.27, 1.05), (1729.60, 2.88), (1764.49, 15.30),
            (1847.43, 2.03), (2118.51, 1.16), (2204.06, 4.92), (2447.70, 1.55),
        ),
        'Tc-99m': ((140.51, 89.0),),
        'Th-232': (
            (129.07, 2.42), (209.25, 3.89), (238.63, 43.6), (270.25, 3.46), (277.37, 2.27), (300.09, 3.30),
            (328.00, 2.95), (338.32, 11.27), (409.46, 1.92), (463.00, 4.40), (510.77, 8.12), (583.19, 30.6),
            (727.33, 6.67), (794.95, 4.25), (835.71, 1.61), (860.56, 4.46), (911.20, 25.8), (964.77, 4.99),
            (968.97, 15.8), (1588.20, 3.22), (1620.50, 1.47), (1630.63, 1.51), (2614.51, 35.85),
        ),
    }
)  # fmt: skip

CLASSES: tuple[str, ...] = tuple(sorted(LINES))
"""The fifteen sources in the order of a model's outputs."""

BACKGROUND: tuple[str, ...] = ('K-40', 'Ra-226', 'Th-232')
"""What soil, concrete and the air of a room hold."""
