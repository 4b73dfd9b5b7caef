"""Garden, toys, stationery and sport."""
# ruff: noqa: E501  (paths are easier to read whole)

from .brush import Brush, shadow


def plant(b: Brush) -> str:
    leaves = (
        f'<path d="M200 232 Q110 200 112 96 Q196 120 200 232Z" fill="{b.leaf}"/><path d="M200 232 Q290 200 288 96 Q204 '
        f'120 200 232Z" fill="{b.leaf_dark}"/><path d="M200 232 Q164 140 200 58 Q236 140 200 232Z" fill="#76a36c"/>',
        "".join(
            f'<ellipse cx="{x}" cy="{y}" rx="22" ry="44" transform="rotate({r} {x} {y})" fill="{(b.leaf, b.leaf_dark)[i % 2]}"/>'
            for i, (x, y, r) in enumerate(
                [(150, 176, -52), (250, 176, 52), (164, 126, -28), (236, 126, 28), (200, 104, 0), (200, 176, 0)]
            )
        ),
        f'<path d="M168 232 Q150 110 200 72 Q250 110 232 232Z" fill="{b.leaf}"/><path d="M200 84 V226 M178 120 V222 M222 '
        f'120 V222" stroke="{b.leaf_dark}" stroke-width="5"/><circle cx="200" cy="74" r="14" fill="{b.accent}"/>'
        f'<ellipse cx="252" cy="176" rx="20" ry="40" transform="rotate(24 252 176)" fill="{b.leaf}"/>',
    )[b.choose(3)]
    return (
        shadow(336, 86)
        + f'{leaves}<path d="M128 226 H272 L254 322 Q252 334 240 334 H160 Q148 334 146 322Z" fill="{b.fill}"/>'
        f'<rect x="118" y="210" width="164" height="34" rx="9" fill="{b.dark}"/>'
    )


def planter(b: Brush) -> str:
    if b.choose(2):
        body = f'<path d="M92 164 H308 L282 308 Q278 326 260 326 H140 Q122 326 118 308Z" fill="{b.fill}"/>'
    else:
        body = f'<path d="M96 160 H304 Q324 326 236 326 H164 Q76 326 96 160Z" fill="{b.fill}"/>'
    return (
        shadow(332, 106)
        + f'{body}<rect x="80" y="138" width="240" height="38" rx="12" fill="{b.main}"/><ellipse cx="200" cy="142" '
        f'rx="104" ry="12" fill="#5b4636"/><path d="M92 212 H308" stroke="{b.accent}" stroke-width="9" opacity=".85"/>'
        f'<path d="M120 196 L130 292" stroke="#fff" stroke-width="11" opacity=".22" stroke-linecap="round"/>'
        f'<path d="M200 142 q-6 -38 -38 -46 q2 40 38 46 q0 -48 32 -62 q10 44 -32 62" fill="{b.leaf}"/>'
    )


def wateringcan(b: Brush) -> str:
    return (
        shadow(328, 128)
        + f'<path d="M252 250 L334 132 L352 144 L268 292Z" fill="{b.dark}"/><path d="M318 112 L376 150 L366 166 L308 '
        f'128Z" fill="{b.accent}"/><path d="M112 190 Q44 190 48 240 Q52 292 116 288" fill="none" stroke="{b.deep}" '
        f'stroke-width="14"/><path d="M112 172 Q120 92 190 98 Q248 104 250 172" fill="none" stroke="{b.deep}" '
        f'stroke-width="12"/><path d="M106 168 H264 L276 322 H94Z" fill="{b.fill}"/><ellipse cx="185" cy="168" rx="79" '
        f'ry="15" fill="{b.deep}"/><path d="M100 250 H270" stroke="{b.accent}" stroke-width="9"/>'
    )


def gardentool(b: Brush) -> str:
    return (
        shadow(350, 100)
        + f'<g transform="rotate(-20 150 200)"><rect x="136" y="40" width="28" height="128" rx="13" fill="{b.fill}"/>'
        f'<rect x="140" y="160" width="20" height="40" fill="{b.metal_dark}"/><path d="M114 196 H186 Q192 290 150 344 '
        f'Q108 290 114 196Z" fill="{b.metal}"/><path d="M150 204 V320" stroke="{b.metal_light}" stroke-width="8"/></g>'
        f'<g transform="rotate(20 258 200)"><rect x="244" y="40" width="28" height="128" rx="13" fill="{b.accent}"/>'
        f'<rect x="249" y="160" width="18" height="50" fill="{b.metal_dark}"/><path d="M222 330 V222 H294 V330 M258 222 '
        f'V330" fill="none" stroke="{b.metal}" stroke-width="14" stroke-linecap="round"/></g>'
    )


def birdhouse(b: Brush) -> str:
    return (
        shadow(364, 60)
        + f'<rect x="188" y="300" width="24" height="62" fill="{b.wood_dark}"/><path d="M116 174 L200 104 L284 174 V306 '
        f'H116Z" fill="{b.fill}"/><path d="M88 190 L200 82 L312 190 L296 206 L200 116 L104 206Z" fill="{b.accent}"/>'
        f'<circle cx="200" cy="206" r="30" fill="{b.ink}"/><rect x="194" y="246" width="12" height="34" rx="5" '
        f'fill="{b.wood}"/><path d="M248 262 q22 -34 48 -10 l14 2 l-12 8 q-8 28 -44 22 z" fill="{b.light}"/>'
        f'<circle cx="288" cy="258" r="3.5" fill="{b.ink}"/><rect x="106" y="298" width="188" height="14" '
        f'fill="{b.dark}"/>'
    )


def toycar(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(318, 156)
            + f'<rect x="58" y="174" width="122" height="112" rx="12" fill="{b.fill}"/><rect x="46" y="156" width="146" '
            f'height="24" rx="8" fill="{b.dark}"/><rect x="82" y="192" width="52" height="44" rx="6" fill="#e8f1f4"/>'
            f'<rect x="168" y="206" width="164" height="80" rx="22" fill="{b.accent}"/><path d="M268 206 L258 150 H302 '
            f'L292 206Z" fill="{b.deep}"/><circle cx="292" cy="124" r="15" fill="#fff" opacity=".7"/><circle cx="322" '
            f'cy="102" r="10" fill="#fff" opacity=".6"/><circle cx="104" cy="290" r="34" fill="{b.wood}"/><circle cx="196" '
            f'cy="298" r="25" fill="{b.wood}"/><circle cx="286" cy="298" r="25" fill="{b.wood}"/><g '
            f'fill="{b.wood_dark}"><circle cx="104" cy="290" r="9"/><circle cx="196" cy="298" r="7"/><circle cx="286" '
            f'cy="298" r="7"/></g>'
        )
    return (
        shadow(322, 156)
        + f'<path d="M44 284 V238 Q46 218 76 214 L118 158 Q124 150 136 150 H246 Q258 150 266 160 L300 212 Q352 218 354 '
        f'246 V284Z" fill="{b.fill}"/><path d="M130 168 H184 V212 H100Z M198 168 H244 L274 212 H198Z" fill="#e8f1f4"/>'
        f'<path d="M44 256 H354" stroke="{b.accent}" stroke-width="12"/><circle cx="346" cy="238" r="9" fill="#ffe7a8"/>'
        f'<circle cx="116" cy="284" r="38" fill="{b.ink}"/><circle cx="284" cy="284" r="38" fill="{b.ink}"/>'
        f'<circle cx="116" cy="284" r="17" fill="{b.wood_light}"/><circle cx="284" cy="284" r="17" fill="{b.wood_light}"/>'
    )


def softtoy(b: Brush) -> str:
    ears = (
        f'<circle cx="140" cy="92" r="32" fill="{b.dark}"/><circle cx="260" cy="92" r="32" fill="{b.dark}"/>'
        f'<circle cx="140" cy="92" r="16" fill="{b.light}"/><circle cx="260" cy="92" r="16" fill="{b.light}"/>',
        f'<ellipse cx="160" cy="66" rx="22" ry="60" fill="{b.dark}" transform="rotate(-10 160 66)"/><ellipse cx="240" '
        f'cy="66" rx="22" ry="60" fill="{b.dark}" transform="rotate(10 240 66)"/><ellipse cx="160" cy="70" rx="10" '
        f'ry="42" fill="{b.light}" transform="rotate(-10 160 70)"/><ellipse cx="240" cy="70" rx="10" ry="42" '
        f'fill="{b.light}" transform="rotate(10 240 70)"/>',
        f'<path d="M122 118 L128 56 L182 90Z M278 118 L272 56 L218 90Z" fill="{b.dark}"/>',
    )[b.choose(3)]
    return (
        shadow(344, 112)
        + f'{ears}<ellipse cx="112" cy="244" rx="28" ry="48" transform="rotate(30 112 244)" fill="{b.dark}"/>'
        f'<ellipse cx="288" cy="244" rx="28" ry="48" transform="rotate(-30 288 244)" fill="{b.dark}"/>'
        f'<ellipse cx="200" cy="266" rx="84" ry="76" fill="{b.fill}"/><ellipse cx="200" cy="274" rx="48" ry="48" '
        f'fill="{b.light}"/><ellipse cx="144" cy="324" rx="38" ry="24" fill="{b.dark}"/><ellipse cx="256" cy="324" '
        f'rx="38" ry="24" fill="{b.dark}"/><circle cx="200" cy="140" r="78" fill="{b.main}"/><ellipse cx="200" cy="164" '
        f'rx="34" ry="27" fill="{b.light}"/><circle cx="172" cy="130" r="8" fill="{b.ink}"/><circle cx="228" cy="130" '
        f'r="8" fill="{b.ink}"/><ellipse cx="200" cy="154" rx="11" ry="8" fill="{b.ink}"/><path d="M200 160 V170 M200 '
        f'170 q-10 10 -18 2 M200 170 q10 10 18 2" fill="none" stroke="{b.ink}" stroke-width="4"/><path d="M150 212 Q200 '
        f'232 250 212 L246 230 Q200 246 154 230Z" fill="{b.accent}"/>'
    )


def puzzle(b: Brush) -> str:
    def piece(x: int, y: int, fill: str) -> str:
        return (
            f'<path transform="translate({x} {y})" fill="{fill}" d="M0 0 H38 q-8 -24 12 -24 t12 24 H100 V38 q24 -8 24 12 '
            f't-24 12 V100 H62 q8 -22 -12 -22 t-12 22 H0 V62 q22 8 22 -12 t-22 -12Z"/>'
        )

    return (
        shadow(338, 128)
        + piece(92, 104, b.fill)
        + piece(196, 104, b.accent)
        + piece(92, 208, b.dark)
        + f'<g transform="rotate(12 250 262)">{piece(202, 216, b.light)}</g>'
    )


def blocks(b: Brush) -> str:
    def cube(x: int, y: int, colour: str, letter: str) -> str:
        return (
            f'<rect x="{x}" y="{y}" width="96" height="96" rx="11" fill="{colour}"/><rect x="{x + 10}" y="{y + 10}" '
            f'width="76" height="76" rx="7" fill="#fff" opacity=".28"/><text x="{x + 48}" y="{y + 69}" font-size="58" '
            f'font-weight="700" text-anchor="middle" font-family="Georgia,serif" fill="{b.ink}" opacity=".75">{letter}'
            f"</text>"
        )

    letters = ("ABC", "XYZ", "123", "FUN", "TOY")[b.choose(5)]
    return (
        shadow(330, 126)
        + cube(96, 226, b.main, letters[0])
        + cube(206, 226, b.accent, letters[1])
        + cube(150, 122, b.light, letters[2])
        + f'<path d="M150 116 L198 58 L246 116Z" fill="{b.dark}"/>'
    )


def boardgame(b: Brush) -> str:
    cells = "".join(
        f'<rect x="{86 + i % 6 * 38}" y="{94 + i // 6 * 38}" width="38" height="38" '
        f'fill="{(b.light, b.fill)[(i % 6 + i // 6) % 2]}"/>'
        for i in range(36)
    )
    return (
        shadow(350, 136)
        + f'<rect x="70" y="78" width="260" height="260" rx="14" fill="{b.wood}"/><rect x="82" y="90" width="236" '
        f'height="236" fill="{b.wood_dark}"/>{cells}<path d="M128 236 a18 18 0 1 1 24 0 l14 44 h-52z" fill="{b.accent}"/>'
        f'<path d="M236 160 a18 18 0 1 1 24 0 l14 44 h-52z" fill="{b.deep}"/><rect x="230" y="250" width="56" height="56" '
        f'rx="11" fill="{b.paper}" transform="rotate(14 258 278)"/><g fill="{b.ink}"><circle cx="244" cy="262" r="5"/>'
        f'<circle cx="258" cy="278" r="5"/><circle cx="272" cy="294" r="5"/></g>'
    )


def notebook(b: Brush) -> str:
    binding = (
        "".join(f'<circle cx="114" cy="{y}" r="8" fill="{b.paper}" stroke="{b.metal_dark}" stroke-width="5"/>' for y in range(92, 330, 29)),
        f'<rect x="264" y="64" width="13" height="274" fill="{b.accent}"/>',
        f'<path d="M100 64 h34 v274 h-34z" fill="{b.dark}"/>',
    )[b.choose(3)]  # fmt: skip
    return (
        shadow(346, 108)
        + f'<rect x="112" y="72" width="202" height="274" rx="10" fill="{b.paper}"/><rect x="100" y="64" width="204" '
        f'height="274" rx="12" fill="{b.fill}"/>{binding}<rect x="154" y="116" width="98" height="60" rx="6" '
        f'fill="{b.paper}"/><path d="M170 138 H236 M178 156 H228" stroke="{b.dark}" stroke-width="5" '
        f'stroke-linecap="round"/>'
    )


def pen(b: Brush) -> str:
    def one(angle: int, x: int, body: str, tip: str) -> str:
        return (
            f'<g transform="rotate({angle} {x} 200)"><rect x="{x - 15}" y="66" width="30" height="216" rx="8" '
            f'fill="{body}"/><rect x="{x - 15}" y="66" width="30" height="40" rx="8" fill="{tip}"/><path d="M{x - 15} 282 '
            f'H{x + 15} L{x + 4} 330 H{x - 4}Z" fill="{b.wood_light}"/><path d="M{x - 7} 312 H{x + 7} L{x} 338Z" '
            f'fill="{b.ink}"/><path d="M{x - 6} 112 V274" stroke="#fff" stroke-width="5" opacity=".35"/></g>'
        )

    return (
        shadow(344, 110)
        + one(-18, 132, b.dark, b.accent)
        + one(2, 200, b.fill, b.accent)
        + one(20, 268, b.accent, b.main)
    )


def giftwrap(b: Brush) -> str:
    return (
        shadow(334, 114)
        + f'<rect x="96" y="174" width="208" height="156" rx="8" fill="{b.fill}"/><rect x="82" y="140" width="236" '
        f'height="50" rx="8" fill="{b.dark}"/><rect x="178" y="140" width="44" height="190" fill="{b.accent}"/>'
        f'<path d="M200 140 Q118 142 120 92 Q160 66 200 140Z M200 140 Q282 142 280 92 Q240 66 200 140Z" '
        f'fill="{b.accent}"/><path d="M200 140 Q150 138 144 108 M200 140 Q250 138 256 108" fill="none" '
        f'stroke="{b.accent_dark}" stroke-width="5"/><circle cx="200" cy="138" r="16" fill="{b.accent_dark}"/>'
    )


def card(b: Brush) -> str:
    motif = (
        f'<path d="M200 232 Q140 190 164 158 Q184 138 200 166 Q216 138 236 158 Q260 190 200 232Z" fill="{b.accent}"/>',
        f'<g fill="{b.accent}"><circle cx="200" cy="158" r="19"/><circle cx="226" cy="182" r="19"/><circle cx="216" '
        f'cy="212" r="19"/><circle cx="184" cy="212" r="19"/><circle cx="174" cy="182" r="19"/></g><circle cx="200" '
        f'cy="188" r="15" fill="{b.paper}"/>',
        f'<path d="M150 214 H250 V182 H150Z" fill="{b.accent}"/><path d="M150 182 q12 -20 25 0 t25 0 t25 0 t25 0" '
        f'fill="{b.paper}"/><path d="M176 172 v-28 M200 172 v-28 M224 172 v-28" stroke="{b.accent_dark}" '
        f'stroke-width="6"/>',
    )[b.choose(3)]
    return (
        shadow(338, 122)
        + f'<rect x="126" y="118" width="208" height="204" rx="6" fill="{b.wood_light}" transform="rotate(7 230 220)"/>'
        f'<rect x="92" y="76" width="208" height="256" rx="8" fill="{b.fill}" transform="rotate(-4 196 204)"/>'
        f'<g transform="rotate(-4 196 204)"><rect x="116" y="102" width="160" height="162" rx="6" fill="{b.paper}"/>'
        f'{motif.replace("200", "196")}<path d="M140 294 H252" stroke="{b.paper}" stroke-width="9" '
        f'stroke-linecap="round"/></g>'
    )


def organiser(b: Brush) -> str:
    return (
        shadow(330, 110)
        + f'<rect x="128" y="84" width="17" height="130" rx="5" fill="{b.accent}"/><path d="M128 84 h17 l-8 -26z" '
        f'fill="{b.wood_light}"/><rect x="160" y="104" width="15" height="110" rx="5" fill="{b.ink}"/><rect x="190" '
        f'y="72" width="17" height="140" rx="5" fill="{b.leaf}"/><path d="M230 214 V120 h34 V214" fill="none" '
        f'stroke="{b.metal}" stroke-width="9"/><path d="M104 184 H222 V324 H104Z" fill="{b.fill}"/><path d="M222 236 H300 '
        f'V324 H222Z" fill="{b.dark}"/><rect x="236" y="200" width="52" height="40" fill="{b.paper}"/><path d="M104 204 '
        f'H222" stroke="{b.light}" stroke-width="7"/>'
    )


def yogamat(b: Brush) -> str:
    return (
        shadow(322, 154)
        + f'<path d="M66 270 H300 L360 316 H90Z" fill="{b.fill}"/><path d="M90 316 H360 V324 H92Z" fill="{b.deep}"/>'
        f'<rect x="52" y="158" width="232" height="116" rx="56" fill="{b.main}"/><ellipse cx="284" cy="216" rx="44" '
        f'ry="58" fill="{b.dark}"/><ellipse cx="284" cy="216" rx="29" ry="39" fill="none" stroke="{b.light}" '
        f'stroke-width="6"/><ellipse cx="284" cy="216" rx="13" ry="18" fill="{b.deep}"/><rect x="106" y="156" width="20" '
        f'height="120" fill="{b.accent}"/><rect x="206" y="156" width="20" height="120" fill="{b.accent}"/>'
    )


def bottle(b: Brush) -> str:
    return (
        shadow(350, 66)
        + f'<rect x="172" y="46" width="56" height="48" rx="11" fill="{b.ink}"/><path d="M172 66 h-18 q-10 0 -10 12 v18" '
        f'fill="none" stroke="{b.accent}" stroke-width="8"/><path d="M164 92 H236 Q264 118 264 152 V322 Q264 346 240 346 '
        f'H160 Q136 346 136 322 V152 Q136 118 164 92Z" fill="{b.fill}"/><rect x="136" y="208" width="128" height="66" '
        f'fill="{b.accent}"/><circle cx="200" cy="241" r="17" fill="{b.paper}"/><path d="M158 132 V326" stroke="#fff" '
        f'stroke-width="11" opacity=".28" stroke-linecap="round"/>'
    )


def tent(b: Brush) -> str:
    return (
        shadow(322, 168)
        + f'<path d="M200 92 L352 314 H48Z" fill="{b.fill}"/><path d="M200 92 L352 314 H262Z" fill="{b.dark}"/>'
        f'<path d="M186 140 L232 314 H140Z" '
        f'fill="{b.deep}"/><path d="M186 140 L164 314 H116Z" fill="{b.accent}"/><path d="M200 92 L188 74 M200 92 L214 '
        f'72" stroke="{b.wood_dark}" stroke-width="8" stroke-linecap="round"/><path d="M48 314 L24 326 M352 314 L376 326" '
        f'stroke="{b.ink}" stroke-width="5" stroke-linecap="round"/>'
    )


def ball(b: Brush) -> str:
    return (
        shadow(330, 90)
        + f'<circle cx="200" cy="206" r="118" fill="{b.fill}"/>'
        + (
            f'<path d="M84 196 Q200 250 316 196 M200 88 Q146 206 200 324 M200 88 Q256 206 200 324" fill="none" '
            f'stroke="{b.accent}" stroke-width="8"/>',
            f'<path d="M200 88 Q300 120 316 224 Q240 190 200 88Z M92 158 Q160 190 172 320 Q88 290 84 200Z" '
            f'fill="{b.accent}"/>',
            f'<path d="M200 160 L242 190 L226 240 H174 L158 190Z" fill="{b.accent}"/><path d="M200 160 V100 M242 190 L304 '
            f'168 M226 240 L262 300 M174 240 L138 300 M158 190 L96 168" stroke="{b.accent}" stroke-width="7"/>',
        )[b.choose(3)]
        + '<path d="M118 168 Q138 122 184 108" fill="none" stroke="#fff" stroke-width="12" opacity=".4" '
        'stroke-linecap="round"/>'
    )


def dumbbell(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(322, 96)
            + f'<path d="M140 176 Q132 84 200 84 Q268 84 260 176" fill="none" stroke="{b.ink}" stroke-width="24"/>'
            f'<path d="M104 240 Q104 168 200 164 Q296 168 296 240 Q296 320 200 320 Q104 320 104 240Z" fill="{b.fill}"/>'
            f'<circle cx="200" cy="244" r="40" fill="{b.accent}"/><circle cx="200" cy="244" r="24" fill="{b.paper}"/>'
        )
    return (
        shadow(300, 160)
        + f'<rect x="120" y="196" width="160" height="26" rx="10" fill="{b.metal_dark}"/><rect x="86" y="138" width="44" '
        f'height="142" rx="15" fill="{b.fill}"/><rect x="270" y="138" width="44" height="142" rx="15" fill="{b.fill}"/>'
        f'<rect x="50" y="164" width="38" height="90" rx="13" fill="{b.accent}"/><rect x="312" y="164" width="38" '
        f'height="90" rx="13" fill="{b.accent}"/><rect x="34" y="194" width="20" height="30" rx="6" fill="{b.ink}"/>'
        f'<rect x="346" y="194" width="20" height="30" rx="6" fill="{b.ink}"/>'
    )


SHAPES = {
    "plant": plant, "planter": planter, "wateringcan": wateringcan, "gardentool": gardentool, "birdhouse": birdhouse,
    "toycar": toycar, "softtoy": softtoy, "puzzle": puzzle, "blocks": blocks, "boardgame": boardgame,
    "notebook": notebook, "pen": pen, "giftwrap": giftwrap, "card": card, "organiser": organiser, "yogamat": yogamat,
    "bottle": bottle, "tent": tent, "ball": ball, "dumbbell": dumbbell,
}  # fmt: skip
