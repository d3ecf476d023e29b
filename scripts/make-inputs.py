"""Makes the larger inputs of the benchmark functions, the same ones each time. They are committed:
run this only to change them, where Pillow is installed (python3-pil).

    python3 scripts/make-inputs.py
"""

import json
import os
import random

from PIL import Image, ImageChops, ImageDraw

FUNCTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "functions")
YEARS = range(1961, 2021)
COUNTRIES = 66
# What tells the corners of the pictures apart, clockwise from the top left.
CORNERS = ((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240))
# Name, width and height in pixels, side of a corner's square, size of a speck, JPEG quality.
PICTURES = (("100kb.jpg", 640, 480, 32, 2, 87), ("900kb.jpg", 1920, 1280, 64, 2, 90))


def gdp(countries):
    """Invented figures of invented countries, in the form in which public statistics come."""
    draw = random.Random(1961)
    for number in range(countries):
        country = {"id": f"X{number:02}", "value": f"Exampleland {number}"}
        value = draw.uniform(5, 500)
        for year in YEARS:
            yield {
                "country": country,
                "indicator": {"id": "NY.GDP.MKTP.CD", "value": "GDP (current units)"},
                "year": str(year),
                "value": round(value, 6),
                "decimal": 6,
            }
            value *= draw.uniform(0.97, 1.13)


def noise(draw, width, height, speck):
    small = (width // speck, height // speck)
    dots = Image.frombytes("RGB", small, draw.randbytes(small[0] * small[1] * 3))
    return dots.resize((width, height), Image.Resampling.BICUBIC)


def picture(width, height, side, speck):
    """Coloured noise of two sizes under discs, with a square of its own colour in each corner."""
    draw = random.Random(width)
    coarse = noise(draw, width, height, 64)
    image = Image.blend(coarse, noise(draw, width, height, speck), 0.25)
    discs = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(discs)
    for _ in range(24):
        x, y, radius = draw.randrange(width), draw.randrange(height), draw.randrange(20, height // 5)
        colour = tuple(draw.randrange(90) for _ in range(3))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    image = ImageChops.add(image, discs)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = 0, 0, width - side, height - side
    for (x, y), colour in zip(((left, top), (right, top), (right, bottom), (left, bottom)), CORNERS):
        pen.rectangle((x, y, x + side - 1, y + side - 1), fill=colour)
    return image


def main():
    text = json.dumps(list(gdp(COUNTRIES)), indent=2) + "\n"
    for function in ("json", "compression"):
        with open(os.path.join(FUNCTIONS, function, "gdp-large.json"), "w", encoding="utf-8") as file:
            file.write(text)
    for name, width, height, side, speck, quality in PICTURES:
        path = os.path.join(FUNCTIONS, "image", name)
        picture(width, height, side, speck).save(path, quality=quality)


if __name__ == "__main__":
    main()
