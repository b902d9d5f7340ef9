"""Sun, sky, weather and time of day, and their effect on the colour of a surface."""

from __future__ import annotations

from dataclasses import dataclass

from edge.synthetic.seeded_random import SeededRandom

Rgb = "tuple[float, float, float]"


@dataclass(frozen=True)
class Light:
    """Light of one scene; colours are factors, or RGB from 0 to 255.

    Attributes:
        kind: Kind of the light: sun, overcast, dusk, night, fog or rain.
        sun_right: Component to the right of the direction to the sun.
        sun_up: Upward component of the direction to the sun.
        sun_ahead: Component ahead of the direction to the sun.
        sun_rgb: Factors that the sun adds to a surface that faces it.
        ambient_rgb: Factors of the light from everywhere.
        sky_top_rgb: Colour of the sky overhead, 0 to 255.
        sky_low_rgb: Colour of the sky at the horizon and of the haze, 0 to 255.
        clouds: Strength of the clouds, 0 to 1.
        haze_m: Distance in metres at which haze has taken about half of the contrast.
    """

    kind: str
    sun_right: float
    sun_up: float
    sun_ahead: float
    sun_rgb: tuple[float, float, float]
    ambient_rgb: tuple[float, float, float]
    sky_top_rgb: tuple[float, float, float]
    sky_low_rgb: tuple[float, float, float]
    clouds: float
    haze_m: float

    @property
    def is_dark(self) -> bool:
        """Whether it is so dark that lamps and windows are lit."""
        return self.kind in ("night", "dusk")

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is bright enough for shadows with an edge."""
        return self.kind in ("sun", "dusk") and self.sun_up > 0.1

    def shade(self, color: tuple, right: float, up: float, ahead: float) -> tuple[float, float, float]:
        """Return the colour of a lit surface, given its own colour and its normal in view."""
        facing = max(0.0, right * self.sun_right + up * self.sun_up + ahead * self.sun_ahead)
        sky = 0.8 + 0.2 * up
        return tuple(c * (a * sky + s * facing) for c, a, s in zip(color, self.ambient_rgb, self.sun_rgb))

    def clear_share(self, ahead_m: float) -> float:
        """Return the share of a colour that is left at a distance, 0 to 1; the rest is haze. Arrays are accepted."""
        thin = 1.0 + 0.4142 * ahead_m / self.haze_m
        return 1.0 / (thin * thin)

    def haze(self, color: tuple, ahead_m: float) -> tuple[int, int, int]:
        """Return a shaded colour as seen through the haze, whole numbers 0 to 255."""
        clear = self.clear_share(max(ahead_m, 0.0))
        return tuple(int(min(255.0, max(0.0, c * clear + h * (1.0 - clear)))) for c, h in zip(color, self.sky_low_rgb))


def _tinted(rng: SeededRandom, level: float, spread: float) -> tuple[float, float, float]:
    warm = rng.uniform(-spread, spread)
    return level * (1.0 + warm), level, level * (1.0 - warm)


def draw_light(rng: SeededRandom) -> Light:
    """Draw the light of a scene from random numbers."""
    kind = rng.weighted((("sun", 5.0), ("overcast", 3.0), ("dusk", 1.3), ("night", 1.2), ("fog", 1.2), ("rain", 1.0)))
    right, ahead = rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)
    up = rng.uniform(0.12, 0.35) if kind == "dusk" else rng.uniform(0.35, 1.2)
    length = (right * right + up * up + ahead * ahead) ** 0.5
    sun = (right / length, up / length, ahead / length)
    haze_m = rng.uniform(250.0, 1500.0)
    clouds = rng.uniform(0.0, 0.9)
    if kind == "sun":
        sun_rgb, ambient = _tinted(rng, rng.uniform(0.55, 0.85), 0.12), _tinted(rng, rng.uniform(0.35, 0.55), -0.12)
        top = (rng.uniform(60, 130), rng.uniform(110, 170), rng.uniform(170, 235))
        low = (rng.uniform(160, 225), rng.uniform(185, 230), rng.uniform(205, 245))
    elif kind == "overcast":
        sun_rgb, ambient = (0.12, 0.12, 0.12), _tinted(rng, rng.uniform(0.65, 0.95), 0.07)
        level = rng.uniform(130, 235)
        top = (level, level + rng.uniform(-4, 8), level + rng.uniform(-4, 18))
        low = tuple(min(250.0, c + rng.uniform(0, 25)) for c in top)
    elif kind == "dusk":
        sun_rgb, ambient = (0.65, 0.42, 0.25), _tinted(rng, rng.uniform(0.28, 0.42), 0.1)
        top = (rng.uniform(50, 110), rng.uniform(60, 110), rng.uniform(100, 150))
        low = (rng.uniform(190, 245), rng.uniform(130, 185), rng.uniform(90, 160))
    elif kind == "night":
        sun_rgb, ambient = (0.03, 0.03, 0.05), _tinted(rng, rng.uniform(0.24, 0.42), 0.25)
        top = (rng.uniform(4, 22), rng.uniform(5, 24), rng.uniform(12, 38))
        low = (rng.uniform(18, 60), rng.uniform(18, 50), rng.uniform(22, 55))
    elif kind == "fog":
        sun_rgb, ambient = (0.08, 0.08, 0.08), _tinted(rng, rng.uniform(0.6, 0.9), 0.05)
        level = rng.uniform(150, 225)
        top = low = (level, level + rng.uniform(-3, 5), level + rng.uniform(-3, 9))
        haze_m, clouds = rng.uniform(28.0, 110.0), 0.1
    else:
        sun_rgb, ambient = (0.05, 0.05, 0.05), _tinted(rng, rng.uniform(0.45, 0.65), 0.05)
        level = rng.uniform(95, 165)
        top = (level, level, level + 6)
        low = (level + 20, level + 22, level + 28)
        haze_m = rng.uniform(90.0, 300.0)
    return Light(kind, sun[0], sun[1], sun[2], sun_rgb, ambient, top, low, clouds, haze_m)
