"""The canvas of a picture: its colours, and for each pixel the tag of what it shows."""

from __future__ import annotations

import math

import numpy as np

from edge.opencv import cv2
from edge.synthetic.camera import NEAR_M, Camera
from edge.synthetic.light import Light
from edge.synthetic.texture import NOISE_SIDE, rough_field


class Canvas:
    """Colours and tags of one picture; what is drawn later covers what was drawn before.

    A tag is a value of an instanceIds file: the file id of a class without instances, or id * 1000 + instance number. A
    shape without a tag is a detail of what lies under it and changes colours alone.

    Args:
        camera: Camera that sees the picture.
        light: Light of the scene.

    Attributes:
        paint: Colours, (H, W, 3) uint8 RGB.
        tags: Tags, (H, W) uint16.
    """

    def __init__(self, camera: Camera, light: Light) -> None:
        self.camera, self.light = camera, light
        self.paint = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.tags = np.zeros((camera.height, camera.width), np.uint16)

    def fill(self, points: list, color: tuple, tag: int | None = None, normal: tuple | None = None) -> None:
        """Fill a polygon that each row of pixels enters only once.

        Args:
            points: Corners in view: (right, up, ahead) in metres.
            color: Colour of the surface, RGB, 0 to 255.
            tag: Tag of the pixels; None for a detail.
            normal: Normal of the surface, (right, up, ahead); None for a surface that shines by itself.
        """
        outline = self.camera.outline(points)
        if outline is None:
            return
        if normal is not None:
            color = self.light.shade(color, *normal)
        seen = self.light.haze(color, points[0][2])
        # fillConvexPoly, as cv2.fillPoly rounds differently from version to version; it also fills
        # what is not convex as long as a row of pixels meets the outline twice, as a car's side.
        cv2.fillConvexPoly(self.paint, outline, seen)
        if tag is not None:
            cv2.fillConvexPoly(self.tags, outline, tag)

    def limb(self, start: tuple, end: tuple, thick_m: float, color: tuple, tag: int) -> None:
        """Draw a rounded bar between two points in view, in light that comes from everywhere."""
        if start[2] < NEAR_M or end[2] < NEAR_M:
            return
        first, last = self.camera.pixel(*start), self.camera.pixel(*end)
        thick = max(1, math.floor(thick_m * self.camera.focal_px / start[2] + 0.5))
        limit = 4.0 * (self.camera.width + self.camera.height)
        if max(abs(c) for c in first + last) > limit:
            return
        a = (math.floor(first[0] + 0.5), math.floor(first[1] + 0.5))
        b = (math.floor(last[0] + 0.5), math.floor(last[1] + 0.5))
        seen = self.light.haze(self.light.shade(color, 0.0, 0.3, -0.6), start[2])
        self._bar(a, b, thick, seen, tag)

    def loop(self, points: list, thick_m: float, color: tuple, tag: int) -> None:
        """Draw a closed line, such as a wheel's rim; nothing is drawn where a part is behind the camera."""
        if min(point[2] for point in points) < NEAR_M:
            return
        outline = self.camera.outline(points)
        thick = max(1, math.floor(thick_m * self.camera.focal_px / points[0][2] + 0.5))
        seen = self.light.haze(self.light.shade(color, 0.0, 0.3, -0.6), points[0][2])
        corners = [tuple(corner) for corner in outline.tolist()]
        for index, corner in enumerate(corners):
            self._bar(corners[index - 1], corner, thick, seen, tag)

    def _bar(self, start: tuple, end: tuple, thick: int, seen: tuple, tag: int) -> None:
        """Draw a rounded bar between two pixels; cv2's own thick lines differ from version to version."""
        if thick < 2:
            cv2.line(self.paint, start, end, seen)
            cv2.line(self.tags, start, end, tag)
            return
        right, down = end[0] - start[0], end[1] - start[1]
        length = math.sqrt(right * right + down * down)
        radius = thick // 2
        for layer, value in ((self.paint, seen), (self.tags, tag)):
            cv2.circle(layer, start, radius, value, -1)
            if length:
                cv2.circle(layer, end, radius, value, -1)
        if not length:
            return
        out = (-down * thick * 0.5 / length, right * thick * 0.5 / length)
        corners = [(x + s * out[0], y + s * out[1]) for (x, y), s in ((start, 1), (end, 1), (end, -1), (start, -1))]
        bar = np.array([(math.floor(x + 0.5), math.floor(y + 0.5)) for x, y in corners], np.int32)
        cv2.fillConvexPoly(self.paint, bar, seen)
        cv2.fillConvexPoly(self.tags, bar, tag)

    def stamp(self, mask: np.ndarray, light: np.ndarray, color: tuple, tag: int, box: tuple, ahead: float) -> None:
        """Draw a sprite that faces the camera.

        Args:
            mask: (h, w) bool, True where the sprite covers the picture.
            light: (h, w) int16, brightness in percent of the colour.
            color: Colour before shading, RGB, 0 to 255.
            tag: Tag of the pixels.
            box: Edges in view, (left, bottom, right, top) in metres.
            ahead: Distance of the sprite in metres.
        """
        if ahead < NEAR_M:
            return
        left, low = self.camera.pixel(box[0], box[1], ahead)
        right, high = self.camera.pixel(box[2], box[3], ahead)
        rows = np.arange(max(0, math.floor(high)), min(self.camera.height, math.floor(low)))
        columns = np.arange(max(0, math.floor(left)), min(self.camera.width, math.floor(right)))
        if rows.size == 0 or columns.size == 0:
            return
        from_rows = ((rows + 0.5 - high) * (mask.shape[0] / (low - high))).astype(np.intp).clip(0, mask.shape[0] - 1)
        from_columns = ((columns + 0.5 - left) * (mask.shape[1] / (right - left))).astype(np.intp)
        index = np.ix_(from_rows, from_columns.clip(0, mask.shape[1] - 1))
        covered = mask[index]
        seen = np.array(self.light.shade(color, 0.0, 0.6, -0.5))
        clear = self.light.clear_share(ahead)
        haze = np.array(self.light.sky_low_rgb) * (1.0 - clear)
        table = (np.arange(201)[:, None] * 0.01 * seen * clear + haze).clip(0, 255).astype(np.uint8)
        area = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        self._lay(area, table[light[index]], covered)
        self.tags[area][covered] = tag

    def upright(
        self, start: tuple, end: tuple, low: float, high: float, surface: object, tag: int, offset_m: float = 0.0
    ) -> None:
        """Draw an upright wall between two points on the ground, pixel by pixel.

        Args:
            start: Position of one foot in view, (right, ahead) in metres.
            end: Position of the other foot in view, (right, ahead) in metres.
            low: Lower edge in metres above the ground.
            high: Upper edge in metres above the ground.
            surface: Function of metres along the wall (columns,), metres up (rows, columns) and metres ahead
                (columns,). It returns colours without haze, (rows, columns, 3), and a mask of the covered pixels or
                None for all.
            tag: Tag of the pixels.
            offset_m: Metres along the wall at which this part of it begins.
        """
        camera = self.camera
        clipped = _clip_foot(start, end)
        if clipped is None:
            return
        (right_0, ahead_0), (right_1, ahead_1) = clipped
        u_0 = camera.middle_px + camera.focal_px * right_0 / ahead_0
        u_1 = camera.middle_px + camera.focal_px * right_1 / ahead_1
        first, last = max(0, math.ceil(min(u_0, u_1) - 0.5)), min(camera.width, math.ceil(max(u_0, u_1) - 0.5))
        if first >= last:
            return
        slant = (np.arange(first, last) + 0.5 - camera.middle_px) / camera.focal_px
        way_right, way_ahead = end[0] - start[0], end[1] - start[1]
        part = (slant * start[1] - start[0]) / (way_right - slant * way_ahead)
        ahead = (start[1] + part * way_ahead).clip(min(ahead_0, ahead_1), max(ahead_0, ahead_1))
        along = part * (way_right * way_right + way_ahead * way_ahead) ** 0.5 + offset_m
        top = camera.horizon_px + (camera.above_m - high) * camera.focal_px / ahead
        bottom = camera.horizon_px + (camera.above_m - low) * camera.focal_px / ahead
        row_0 = max(0, math.floor(float(top.min())))
        row_1 = min(camera.height, math.ceil(float(bottom.max())))
        if row_0 >= row_1:
            return
        rows = np.arange(row_0, row_1)[:, None] + 0.5
        up = np.maximum(camera.above_m - (rows - camera.horizon_px) * (ahead / camera.focal_px), low)
        covers = (rows >= top) & (rows < bottom)
        colors, mask = surface(along, up, ahead)
        clear = self.light.clear_share(ahead).astype(np.float32)[None, :]
        seen = np.empty(colors.shape, np.uint8)
        for channel, haze in enumerate(self.light.sky_low_rgb):
            plane = colors[..., channel] * clear
            plane += np.float32(haze) * (1.0 - clear)
            seen[..., channel] = np.minimum(plane, 255, out=plane)
        area = (slice(row_0, row_1), slice(first, last))
        self._lay(area, seen, covers if mask is None else covers & mask)
        self.tags[area][covers] = tag

    def _lay(self, area: tuple, colors: np.ndarray, covers: np.ndarray) -> None:
        """Copy colours into an area where a mask says so."""
        self.paint[area] = cv2.copyTo(colors, covers.view(np.uint8), self.paint[area])

    def roughen(self, tag: int, middle: tuple, reach_m: float, strength: int, seed: int) -> None:
        """Give the pixels of a tag a grain that moves with the object: dirt, reflections, folds of cloth.

        Args:
            tag: Tag of the pixels that are changed.
            middle: Middle of the object in view, (right, up, ahead) in metres.
            reach_m: Reach of the object from its middle, in metres.
            strength: Strength of the grain in percent.
            seed: Number that decides which part of the noise is used.
        """
        if middle[2] < 1.0:
            return
        camera = self.camera
        column, row = camera.pixel(*middle)
        reach = reach_m * camera.focal_px / middle[2]
        left, right = max(0, math.floor(column - reach)), min(camera.width, math.ceil(column + reach))
        top, bottom = max(0, math.floor(row - reach)), min(camera.height, math.ceil(row + reach))
        if reach < 6.0 or right - left < 4 or bottom - top < 4:
            return
        scale = 110.0 / reach
        rows = ((np.arange(top, bottom) - row) * scale + (seed * 37 + 4096)).astype(np.int32) & (NOISE_SIDE - 1)
        columns = ((np.arange(left, right) - column) * scale + (seed * 91 + 4096)).astype(np.int32) & (NOISE_SIDE - 1)
        factors = 256 + rough_field()[np.ix_(rows, columns)].astype(np.int32) * strength * 256 // 10000
        area = (slice(top, bottom), slice(left, right))
        covers = self.tags[area] == tag
        part = self.paint[area]
        part[covers] = ((part[covers] * factors[covers][:, None]) >> 8).clip(0, 255)


def _clip_foot(start: tuple, end: tuple) -> tuple | None:
    if start[1] < NEAR_M and end[1] < NEAR_M:
        return None
    out = []
    for here, there in ((start, end), (end, start)):
        if here[1] >= NEAR_M:
            out.append(here)
            continue
        part = (NEAR_M - here[1]) / (there[1] - here[1])
        out.append((here[0] + part * (there[0] - here[0]), NEAR_M))
    return out[0], out[1]
