"""What a gift shop adds: cakes, clocks, signs, ornaments and the like."""
# ruff: noqa: E501  (paths are easier to read whole)

from .brush import Brush, shadow


def cakestand(b: Brush) -> str:
    icing = "M128 132 Q128 96 200 96 Q272 96 272 132 V150 q-12 20 -24 0 t-24 0 t-24 0 t-24 0 t-24 0 t-24 0Z"
    return (
        shadow(346, 92)
        + f'<rect x="128" y="130" width="144" height="78" fill="#c99763"/><path d="M128 178 H272" stroke="{b.paper}" '
        f'stroke-width="10"/><path d="{icing}" fill="{b.accent}"/><circle cx="200" cy="86" r="15" fill="#c23b4e"/>'
        f'<ellipse cx="200" cy="220" rx="138" ry="20" fill="{b.dark}"/><ellipse cx="200" cy="212" rx="138" ry="18" '
        f'fill="{b.fill}"/><path d="M182 230 H218 L226 314 H174Z" fill="{b.main}"/><ellipse cx="200" cy="326" rx="72" '
        f'ry="15" fill="{b.dark}"/><rect x="128" y="196" width="144" height="14" fill="#b37f4d"/>'
    )


def tin(b: Brush) -> str:
    return (
        shadow(328, 116)
        + f'<path d="M88 156 H312 V296 Q312 322 200 324 Q88 322 88 296Z" fill="{b.fill}"/><ellipse cx="200" cy="150" '
        f'rx="118" ry="30" fill="{b.dark}"/><path d="M82 132 H318 V156 Q318 186 200 188 Q82 186 82 156Z" fill="{b.main}"/>'
        f'<ellipse cx="200" cy="132" rx="118" ry="30" fill="{b.light}"/><path d="M88 226 Q200 262 312 226" fill="none" '
        f'stroke="{b.accent}" stroke-width="11"/><circle cx="200" cy="132" r="12" fill="{b.accent}"/>'
    )


def clock(b: Brush) -> str:
    hands = (
        "M200 200 V146 M200 200 L244 222",
        "M200 200 L164 168 M200 200 V130",
        "M200 200 L246 172 M200 200 L188 134",
    )
    return (
        shadow(344, 80)
        + f'<circle cx="138" cy="84" r="34" fill="{b.dark}"/><circle cx="262" cy="84" r="34" fill="{b.dark}"/><path '
        f'd="M130 310 L112 340 M270 310 L288 340" stroke="{b.deep}" stroke-width="16" stroke-linecap="round"/><circle '
        f'cx="200" cy="204" r="128" fill="{b.fill}"/><circle cx="200" cy="204" r="102" fill="{b.paper}"/><g '
        f'stroke="{b.ink}" stroke-linecap="round"><path d="M200 116 v12 M200 280 v12 M112 204 h12 M276 204 h12" '
        f'stroke-width="7"/><path d="{hands[b.choose(3)]}" stroke-width="9" fill="none"/></g><circle cx="200" cy="202" '
        f'r="10" fill="{b.accent}"/>'
    )


def sign(b: Brush) -> str:
    words = ("HOME", "LOVE", "BAKE", "TEA", "JOY", "GARDEN")[b.choose(6)]
    return (
        shadow(326, 110)
        + f'<path d="M110 168 L200 84 L290 168" fill="none" stroke="{b.wood_dark}" stroke-width="7"/><circle cx="200" '
        f'cy="80" r="10" fill="{b.metal_dark}"/><rect x="62" y="160" width="276" height="136" rx="14" fill="{b.wood}"/>'
        f'<rect x="76" y="174" width="248" height="108" rx="9" fill="{b.fill}"/><rect x="96" y="194" width="208" '
        f'height="68" rx="7" fill="{b.paper}"/><text x="200" y="244" font-size="46" font-family="Georgia,serif" '
        f'font-weight="700" text-anchor="middle" textLength="{min(180, 42 * len(words))}" fill="{b.deep}">{words}</text>'
    )


def frame(b: Brush) -> str:
    return (
        shadow(344, 110)
        + f'<rect x="90" y="62" width="220" height="276" rx="8" fill="{b.fill}"/><rect x="90" y="62" width="220" '
        f'height="276" rx="8" fill="none" stroke="{b.dark}" stroke-width="9"/><rect x="120" y="92" width="160" '
        f'height="216" fill="{b.paper}"/><rect x="138" y="110" width="124" height="180" fill="#dcecf5"/><circle cx="226" '
        f'cy="150" r="17" fill="#f4c95d"/><path d="M138 290 V240 L178 196 L214 240 L234 220 L262 252 V290Z" '
        f'fill="{b.accent}"/>'
    )


def ornament(b: Brush) -> str:
    if b.choose(2):
        body = (
            f'<path d="M200 320 Q70 232 110 152 Q148 96 200 160 Q252 96 290 152 Q330 232 200 320Z" fill="{b.fill}"/>'
            f'<path d="M124 190 Q124 152 156 146" fill="none" stroke="#fff" stroke-width="11" opacity=".4" '
            f'stroke-linecap="round"/>'
        )
        hang = f'<path d="M200 160 Q176 92 200 56 Q224 92 200 160" fill="none" stroke="{b.accent}" stroke-width="8"/>'
        return shadow(336, 80) + hang + body
    return (
        shadow(338, 80)
        + f'<path d="M200 110 V48" stroke="{b.metal_dark}" stroke-width="5"/><rect x="178" y="98" width="44" height="34" '
        f'rx="7" fill="{b.metal}"/><circle cx="200" cy="224" r="100" fill="{b.fill}"/><path d="M102 206 Q200 250 298 206 '
        f'L300 240 Q200 286 100 240Z" fill="{b.accent}"/><path d="M132 186 Q146 152 178 142" fill="none" stroke="#fff" '
        f'stroke-width="11" opacity=".5" stroke-linecap="round"/>'
    )


def bunting(b: Brush) -> str:
    flags = "".join(
        f'<path d="M{x - 31} {y} L{x + 31} {y + slope} L{x} {y + 84}Z" fill="{(b.fill, b.accent, b.light)[i % 3]}"/>'
        for i, (x, y, slope) in enumerate(
            [(66, 118, 20), (132, 144, 13), (200, 154, 0), (268, 154, -13), (334, 138, -20)]
        )
    )
    return (
        f'<path d="M20 94 Q200 216 380 94" fill="none" stroke="{b.wood_dark}" stroke-width="7"/>{flags}'
        f'<circle cx="96" cy="300" r="12" fill="{b.accent}" opacity=".6"/><circle cx="296" cy="288" r="9" '
        f'fill="{b.main}" opacity=".6"/><circle cx="200" cy="316" r="7" fill="{b.dark}" opacity=".5"/>'
    )


def hook(b: Brush) -> str:
    one = "".join(
        f'<rect x="{x - 17}" y="126" width="34" height="70" rx="11" fill="{b.accent}"/><path d="M{x} 184 v52 q0 36 30 36 '
        f't30 -32" fill="none" stroke="{b.metal_dark}" stroke-width="14" stroke-linecap="round"/><circle cx="{x}" '
        f'cy="150" r="6" fill="{b.ink}"/>'
        for x in (102, 188, 274)
    )
    return f'<rect x="46" y="112" width="308" height="76" rx="14" fill="{b.fill}"/>{one}'


def doormat(b: Brush) -> str:
    return (
        shadow(312, 164)
        + f'<path d="M88 150 H312 L366 292 H34Z" fill="{b.wood_dark}"/><path d="M88 142 H312 L366 284 H34Z" '
        f'fill="{b.fill}"/><path d="M104 158 H296 L336 268 H64Z" fill="none" stroke="{b.accent}" stroke-width="8"/>'
        f'<text x="200" y="232" font-size="46" font-weight="700" font-family="Georgia,serif" text-anchor="middle" '
        f'fill="{b.paper}">HELLO</text>'
    )


def warmer(b: Brush) -> str:
    return (
        shadow(352, 92)
        + f'<rect x="176" y="52" width="48" height="34" rx="8" fill="{b.ink}"/><path d="M170 82 H230 V116 Q292 126 292 '
        f'174 V306 Q292 348 252 348 H148 Q108 348 108 306 V174 Q108 126 170 116Z" fill="{b.fill}"/><path d="M164 104 Q200 '
        f'118 236 104 L240 132 Q200 146 160 132Z" fill="{b.accent}"/><path d="M200 280 Q148 242 168 214 Q186 196 200 222 '
        f'Q214 196 232 214 Q252 242 200 280Z" fill="{b.light}"/>'
    )


def basket(b: Brush) -> str:
    weave = "".join(
        f'<path d="M{88 + i * 6} {196 + i * 26} H{312 - i * 6}" stroke="{b.dark}" stroke-width="6" '
        f'stroke-dasharray="20 9" stroke-dashoffset="{i * 14}" opacity=".6"/>'
        for i in range(5)
    )
    return (
        shadow(328, 112)
        + f'<path d="M106 172 Q112 70 200 70 Q288 70 294 172" fill="none" stroke="{b.wood_dark}" stroke-width="15"/>'
        f'<path d="M76 172 H324 L298 322 H102Z" fill="{b.fill}"/>{weave}<rect x="66" y="156" width="268" height="30" '
        f'rx="13" fill="{b.dark}"/><path d="M96 186 q52 44 104 0 q52 44 104 0 v-14 H96z" fill="{b.accent}"/>'
    )


def paperchain(b: Brush) -> str:
    napkins = "".join(
        f'<rect x="112" y="{102 + i * 9}" width="182" height="182" rx="7" transform="rotate({(i - 3) * 3} 200 200)" '
        f'fill="{colour}"/>'
        for i, colour in enumerate((b.deep, b.dark, b.accent, b.light))
    )
    return (
        shadow(336, 116)
        + f'{napkins}<rect x="112" y="120" width="182" height="182" rx="7" fill="{b.fill}"/><path d="M112 211 H294 M203 '
        f'120 V302" stroke="{b.dark}" stroke-width="3" opacity=".35"/><circle cx="203" cy="211" r="34" '
        f'fill="{b.paper}"/><circle cx="203" cy="211" r="20" fill="{b.accent}"/>'
    )


def soap(b: Brush) -> str:
    return (
        shadow(330, 110)
        + f'<rect x="206" y="150" width="92" height="176" rx="18" fill="{b.accent}"/><rect x="232" y="118" width="40" '
        f'height="36" fill="{b.ink}"/><path d="M252 118 V96 H206 v14" fill="none" stroke="{b.ink}" stroke-width="13"/>'
        f'<rect x="222" y="206" width="60" height="66" rx="6" fill="{b.paper}"/><rect x="90" y="238" width="130" '
        f'height="88" rx="24" fill="{b.fill}"/><rect x="108" y="256" width="94" height="52" rx="16" fill="none" '
        f'stroke="{b.dark}" stroke-width="5" opacity=".5"/><g fill="#fff" opacity=".75"><circle cx="116" cy="208" '
        f'r="19"/><circle cx="150" cy="186" r="12"/><circle cx="98" cy="176" r="9"/></g>'
    )


SHAPES = {
    "cakestand": cakestand, "tin": tin, "clock": clock, "sign": sign, "frame": frame, "ornament": ornament,
    "bunting": bunting, "hook": hook, "doormat": doormat, "warmer": warmer, "basket": basket,
    "paperchain": paperchain, "soap": soap,
}  # fmt: skip
