"""Shoes, clothes, bags and accessories."""
# ruff: noqa: E501  (paths are easier to read whole)

from .brush import Brush, shadow


def trainer(b: Brush) -> str:
    stripe = (
        f'<path d="M196 236 L224 290 M222 226 L252 284 M247 221 L278 280" stroke="{b.accent}" stroke-width="11"/>'
        if b.choose(2)
        else f'<path d="M180 292 Q240 270 262 226 Q268 272 214 294Z" fill="{b.accent}"/>'
    )
    return (
        shadow(326, 150)
        + f'<path d="M62 300 L66 216 Q92 204 122 214 Q150 212 172 176 L216 192 Q238 232 296 244 Q340 254 342 300Z" '
        f'fill="{b.fill}"/><path d="M62 300 L66 216 Q92 204 122 214 L118 300Z" fill="{b.dark}" opacity=".55"/>'
        f'<path d="M172 176 L216 192 L228 208 L160 202Z" fill="{b.light}"/>{stripe}'
        f'<g stroke="{b.paper}" stroke-width="6" stroke-linecap="round"><path d="M192 208 L216 194"/>'
        f'<path d="M206 224 L232 208"/><path d="M224 238 L248 222"/></g>'
        f'<path d="M54 294 H348 Q352 324 330 324 H74 Q52 324 54 294Z" fill="{b.paper}"/>'
        f'<path d="M55 308 H347" stroke="{b.accent}" stroke-width="5"/>'
    )


def runner(b: Brush) -> str:
    return (
        shadow(328, 152)
        + f'<path d="M70 282 Q60 238 84 196 Q98 224 130 218 Q160 206 178 178 L214 186 Q246 238 306 250 Q346 258 344 286Z" '
        f'fill="{b.fill}"/><path d="M178 178 L214 186 L228 208 Q206 196 168 206Z" fill="{b.deep}"/>'
        f'<path d="M96 262 Q160 296 226 240 L240 250 Q196 306 104 284Z" fill="{b.accent}"/>'
        f'<path d="M250 246 Q330 252 344 286 L264 286Z" fill="{b.dark}" opacity=".5"/>'
        f'<g stroke="{b.paper}" stroke-width="5" stroke-linecap="round"><path d="M196 206 L220 196"/>'
        f'<path d="M210 222 L236 210"/><path d="M228 236 L254 224"/></g>'
        f'<path d="M56 280 Q120 300 200 288 T350 278 Q360 312 332 320 Q300 312 270 322 Q230 330 200 318 Q150 334 84 322 '
        f'Q52 314 56 280Z" fill="{b.paper}"/><path d="M62 306 Q130 322 206 306 T350 300" fill="none" '
        f'stroke="{b.accent}" stroke-width="6"/>'
    )


def boot(b: Brush) -> str:
    fur = f'<rect x="112" y="88" width="118" height="26" rx="13" fill="{b.light}"/>' if b.choose(2) else ""
    return (
        shadow(330, 130) + f'<path d="M120 96 H222 L226 222 Q240 242 290 250 Q326 258 326 306 H112Z" fill="{b.fill}"/>'
        f'<path d="M120 96 H146 L140 306 H112Z" fill="{b.dark}" opacity=".45"/>'
        f'<path d="M262 246 Q326 250 326 306 H252Z" fill="{b.dark}" opacity=".35"/>{fur}'
        f'<g stroke="{b.accent}" stroke-width="6" stroke-linecap="round"><path d="M186 132 L222 142"/>'
        f'<path d="M222 132 L186 142"/><path d="M188 162 L224 172"/><path d="M224 162 L188 172"/>'
        f'<path d="M190 192 L226 202"/><path d="M226 192 L190 202"/></g>'
        f'<path d="M104 304 H334 V322 Q334 328 328 328 H170 L164 318 H150 V328 H110 Q104 328 104 322Z" fill="{b.ink}"/>'
    )


def sandal(b: Brush) -> str:
    straps = (
        f'<path d="M236 292 Q248 214 300 236 Q324 250 318 298Z" fill="{b.fill}"/>'
        f'<path d="M92 286 Q78 210 128 192 Q178 186 190 226" fill="none" stroke="{b.main}" stroke-width="20"/>'
        f'<rect x="166" y="204" width="30" height="26" rx="6" fill="none" stroke="{b.metal_dark}" stroke-width="6"/>'
    )
    return (
        shadow(332, 146)
        + f'<path d="M64 286 Q120 300 190 288 Q262 276 338 298 Q346 322 322 326 H92 Q58 324 64 286Z" fill="{b.wood}"/>'
        f'<path d="M60 308 Q120 318 190 308 Q270 300 342 312 Q340 330 322 330 H90 Q64 330 60 308Z" fill="{b.ink}"/>{straps}'
        f'<path d="M240 282 Q270 268 320 282" fill="none" stroke="{b.accent}" stroke-width="7"/>'
    )


def slipper(b: Brush) -> str:
    return (
        shadow(326, 140)
        + f'<path d="M74 286 Q150 302 338 292 Q344 320 318 322 H98 Q70 320 74 286Z" fill="{b.wood_light}"/>'
        f'<path d="M150 292 Q160 214 236 220 Q330 228 338 294Z" fill="{b.fill}"/>'
        f'<path d="M148 296 Q154 210 232 212 Q214 230 198 296Z" fill="{b.light}"/>'
        f'<circle cx="272" cy="240" r="20" fill="{b.accent}"/><circle cx="265" cy="233" r="7" fill="{b.light}" '
        f'opacity=".7"/><path d="M72 304 Q200 318 340 304 Q340 324 318 324 H98 Q74 324 72 304Z" fill="{b.dark}"/>'
    )


def _torso(b: Brush, sleeves: str, body: str) -> str:
    return shadow(346, 100) + sleeves + body


def tshirt(b: Brush) -> str:
    motifs = (
        "",
        f'<circle cx="200" cy="206" r="30" fill="{b.accent}"/>',
        f'<rect x="138" y="196" width="124" height="30" fill="{b.accent}"/>',
        f'<path d="M200 178 L212 204 L240 206 L218 224 L226 252 L200 236 L174 252 L182 224 L160 206 L188 204Z" '
        f'fill="{b.accent}"/>',
    )
    motif = motifs[b.choose(4)] if b.fill == b.main else ""
    return _torso(
        b,
        f'<path d="M146 92 L84 128 L56 194 L104 214 L140 168Z" fill="{b.dark}"/>'
        f'<path d="M254 92 L316 128 L344 194 L296 214 L260 168Z" fill="{b.dark}"/>',
        f'<path d="M146 92 Q200 126 254 92 L274 116 L264 190 L268 336 H132 L136 190 L126 116Z" fill="{b.fill}"/>{motif}'
        f'<path d="M146 92 Q200 126 254 92 L262 100 Q200 144 138 100Z" fill="{b.light}"/>',
    )


def shirt(b: Brush) -> str:
    buttons = "".join(f'<circle cx="200" cy="{y}" r="4.5" fill="{b.paper}"/>' for y in range(160, 330, 34))
    return _torso(
        b,
        f'<path d="M150 88 L92 122 L66 282 L106 292 L138 190Z" fill="{b.dark}"/>'
        f'<path d="M250 88 L308 122 L334 282 L294 292 L262 190Z" fill="{b.dark}"/>'
        f'<path d="M64 274 L108 284 L105 300 L62 290Z M336 274 L292 284 L295 300 L338 290Z" fill="{b.light}"/>',
        f'<path d="M150 88 L200 112 L250 88 L276 112 L266 190 L272 338 H128 L134 190 L124 112Z" fill="{b.fill}"/>'
        f'<rect x="190" y="118" width="20" height="220" fill="{b.dark}" opacity=".28"/>{buttons}'
        f'<path d="M150 88 L166 76 H234 L250 88 L222 138 L200 112 L178 138Z" fill="{b.light}"/>'
        f'<path d="M226 186 h34 v34 q-17 14 -34 0z" fill="{b.dark}" opacity=".3"/>',
    )


def jumper(b: Brush) -> str:
    band = (
        f'<path d="M136 178 L266 178 L265 214 L137 214Z" fill="{b.accent}"/><path d="M138 196 l11 -11 l11 11 l11 -11 l11 '
        f'11 l11 -11 l11 11 l11 -11 l11 11 l11 -11 l11 11 l11 -11" fill="none" stroke="{b.light}" stroke-width="5"/>'
        if b.choose(2)
        else ""
    )
    return _torso(
        b,
        f'<path d="M148 92 L90 124 L62 288 L108 298 L140 196Z" fill="{b.dark}"/>'
        f'<path d="M252 92 L310 124 L338 288 L292 298 L260 196Z" fill="{b.dark}"/>'
        f'<path d="M62 282 L110 292 L106 316 L58 306Z M338 282 L290 292 L294 316 L342 306Z" fill="{b.deep}"/>',
        f'<path d="M148 92 Q200 118 252 92 L278 114 L266 200 L270 318 H130 L134 200 L122 114Z" fill="{b.fill}"/>{band}'
        f'<path d="M128 312 H272 V338 Q200 346 128 338Z" fill="{b.deep}"/>'
        f'<path d="M150 92 Q200 66 250 92 Q248 118 200 120 Q152 118 150 92Z" fill="{b.deep}"/>'
        f'<path d="M164 94 Q200 78 236 94 Q232 108 200 108 Q168 108 164 94Z" fill="{b.dark}"/>',
    )


def jacket(b: Brush) -> str:
    return _torso(
        b,
        f'<path d="M144 92 L84 126 L58 292 L106 302 L138 200Z" fill="{b.dark}"/>'
        f'<path d="M256 92 L316 126 L342 292 L294 302 L262 200Z" fill="{b.dark}"/>',
        f'<path d="M144 92 H256 L280 116 L268 200 L276 338 H124 L132 200 L120 116Z" fill="{b.fill}"/>'
        f'<path d="M154 92 H246 L222 134 H178Z" fill="{b.deep}"/><path d="M150 74 Q200 58 250 74 L258 104 L228 132 '
        f'L200 100 L172 132 L142 104Z" fill="{b.accent}"/>'
        f'<path d="M200 104 V338" stroke="{b.paper}" stroke-width="5" stroke-dasharray="7 5"/>'
        f'<path d="M142 258 l40 -14 v10 l-40 14z M258 258 l-40 -14 v10 l40 14z" fill="{b.deep}"/>'
        f'<rect x="124" y="322" width="152" height="16" fill="{b.deep}"/>',
    )


def dress(b: Brush) -> str:
    return (
        shadow(352, 106)
        + f'<path d="M160 78 L172 78 Q178 118 200 118 Q222 118 228 78 L240 78 L252 132 L238 178 Q286 270 304 336 Q200 364 '
        f'96 336 Q114 270 162 178 L148 132Z" fill="{b.fill}"/>'
        f'<path d="M162 170 H238 L242 190 H158Z" fill="{b.accent}"/>'
        f'<path d="M182 192 Q162 270 152 348 M218 192 Q238 270 248 348" stroke="{b.dark}" stroke-width="4" fill="none" '
        f'opacity=".4"/><path d="M96 336 Q200 364 304 336 L308 348 Q200 376 92 348Z" fill="{b.dark}"/>'
    )


def trousers(b: Brush) -> str:
    return (
        shadow(350, 96) + f'<path d="M136 76 H264 L286 342 H218 L200 172 L182 342 H114Z" fill="{b.fill}"/>'
        f'<path d="M136 76 H264 L266 104 H134Z" fill="{b.dark}"/><path d="M200 104 V178" stroke="{b.deep}" '
        f'stroke-width="4"/><path d="M136 110 Q168 116 160 148 M264 110 Q232 116 240 148" fill="none" stroke="{b.deep}" '
        f'stroke-width="4"/><circle cx="200" cy="90" r="6" fill="{b.accent}"/>'
        f'<path d="M116 322 H184 L182 342 H114Z M216 322 H284 L286 342 H218Z" fill="{b.dark}"/>'
    )


def backpack(b: Brush) -> str:
    return (
        shadow(340, 100)
        + f'<path d="M168 96 Q168 58 200 58 Q232 58 232 96" fill="none" stroke="{b.deep}" stroke-width="12"/>'
        f'<rect x="96" y="190" width="34" height="110" rx="15" fill="{b.deep}"/>'
        f'<rect x="270" y="190" width="34" height="110" rx="15" fill="{b.deep}"/>'
        f'<path d="M116 150 Q116 84 200 84 Q284 84 284 150 V308 Q284 334 258 334 H142 Q116 334 116 308Z" '
        f'fill="{b.fill}"/><path d="M116 168 Q116 84 200 84 Q284 84 284 168 Q240 190 200 190 Q160 190 116 168Z" '
        f'fill="{b.dark}"/><rect x="142" y="222" width="116" height="90" rx="16" fill="{b.light}"/>'
        f'<path d="M142 248 H258" stroke="{b.deep}" stroke-width="5"/>'
        f'<rect x="184" y="168" width="32" height="44" rx="6" fill="{b.accent}"/>'
        f'<circle cx="200" cy="200" r="5" fill="{b.paper}"/>'
    )


def handbag(b: Brush) -> str:
    tall = b.choose(2)
    handle = "M138 176 Q142 70 200 70 Q258 70 262 176" if tall else "M128 176 Q140 104 200 104 Q260 104 272 176"
    return (
        shadow(330, 118) + f'<path d="{handle}" fill="none" stroke="{b.deep}" stroke-width="12"/>'
        f'<path d="M96 164 H304 L318 300 Q320 324 296 324 H104 Q80 324 82 300Z" fill="{b.fill}"/>'
        f'<path d="M96 164 H304 L308 206 Q200 268 92 206Z" fill="{b.dark}"/>'
        f'<rect x="182" y="216" width="36" height="34" rx="8" fill="{b.accent}"/>'
        f'<circle cx="200" cy="233" r="6" fill="{b.paper}"/>'
        f'<circle cx="{138 if tall else 128}" cy="176" r="8" fill="{b.accent}"/>'
        f'<circle cx="{262 if tall else 272}" cy="176" r="8" fill="{b.accent}"/>'
    )


def hat(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(318, 112)
            + f'<circle cx="200" cy="88" r="30" fill="{b.accent}"/><path d="M104 266 Q96 104 200 104 Q304 104 296 266Z" '
            f'fill="{b.fill}"/><path d="M150 120 Q132 190 134 250 M200 106 V250 M250 120 Q268 190 266 250" fill="none" '
            f'stroke="{b.dark}" stroke-width="5" opacity=".5"/><rect x="90" y="244" width="220" height="64" rx="22" '
            f'fill="{b.dark}"/><path d="M120 252 V300 M152 252 V300 M184 252 V300 M216 252 V300 M248 252 V300 M280 252 '
            f'V300" stroke="{b.deep}" stroke-width="4"/>'
        )
    return (
        shadow(308, 150)
        + f'<ellipse cx="200" cy="272" rx="154" ry="34" fill="{b.dark}"/><ellipse cx="200" cy="264" rx="154" ry="32" '
        f'fill="{b.main}"/><path d="M116 262 Q116 130 160 128 Q200 146 240 128 Q284 130 284 262 Q200 288 116 262Z" '
        f'fill="{b.fill}"/><path d="M115 226 Q200 254 285 226 L284 262 Q200 288 116 262Z" fill="{b.accent}"/>'
    )


def scarf(b: Brush) -> str:
    fringe = "".join(f'<path d="M{x} 322 v24" stroke="{b.accent}" stroke-width="5"/>' for x in range(126, 186, 11))
    fringe += "".join(f'<path d="M{x} 284 v24" stroke="{b.accent}" stroke-width="5"/>' for x in range(226, 284, 11))
    return (
        shadow(352, 100) + f'{fringe}<path d="M216 150 L286 150 V286 H222Z" fill="{b.dark}"/>'
        f'<path d="M120 156 L192 150 V324 H120Z" fill="{b.fill}"/><path d="M102 128 Q100 76 200 76 Q300 76 298 128 Q296 '
        f'184 200 184 Q104 184 102 128Z" fill="{b.fill}"/><ellipse cx="200" cy="116" rx="60" ry="22" fill="{b.deep}"/>'
        f'<path d="M112 152 Q160 172 232 164" fill="none" stroke="{b.dark}" stroke-width="6" opacity=".6"/>'
        f'<path d="M120 296 H192 M222 260 H286" stroke="{b.accent}" stroke-width="10"/>'
    )


def watch(b: Brush) -> str:
    hour = ("M200 200 L200 164", "M200 200 L228 216", "M200 200 L172 188")[b.choose(3)]
    return (
        shadow(362, 60) + f'<path d="M166 46 H234 L242 142 H158Z M158 258 H242 L234 354 H166Z" fill="{b.fill}"/>'
        f'<path d="M166 46 H234 L235 58 H165Z M165 342 H235 L234 354 H166Z" fill="{b.dark}"/>'
        f'<rect x="282" y="190" width="16" height="20" rx="4" fill="{b.metal_dark}"/>'
        f'<circle cx="200" cy="200" r="86" fill="{b.metal_dark}"/><circle cx="200" cy="200" r="80" fill="{b.accent}"/>'
        f'<circle cx="200" cy="200" r="66" fill="{b.paper}"/><g stroke="{b.ink}" stroke-linecap="round">'
        f'<path d="M200 142 V152 M200 248 V258 M142 200 H152 M248 200 H258" stroke-width="5"/>'
        f'<path d="{hour}" stroke-width="7"/><path d="M200 200 L236 164" stroke-width="4.5"/></g>'
        f'<circle cx="200" cy="200" r="6" fill="{b.main}"/>'
    )


def sunglasses(b: Brush) -> str:
    lens = (
        "M76 176 H186 Q190 250 134 252 Q76 252 76 176Z M214 176 H324 Q324 252 266 252 Q210 250 214 176Z",
        "M131 152 a54 54 0 1 0 .1 0Z M269 152 a54 54 0 1 0 .1 0Z",
    )[b.choose(2)]
    return (
        shadow(300, 140)
        + f'<path d="M64 172 Q54 130 96 120 M336 172 Q346 130 304 120" fill="none" stroke="{b.deep}" stroke-width="11" '
        f'stroke-linecap="round"/><path d="{lens}" fill="{b.accent_dark}" stroke="{b.main}" stroke-width="15" '
        f'stroke-linejoin="round"/><path d="M184 184 Q200 172 216 184" fill="none" stroke="{b.main}" stroke-width="12"/>'
        f'<path d="M100 224 L138 182 M238 224 L276 182" stroke="#fff" stroke-width="9" opacity=".35" '
        f'stroke-linecap="round"/>'
    )


def umbrella(b: Brush) -> str:
    return (
        shadow(356, 70)
        + f'<path d="M200 170 V320 Q200 350 226 350 Q250 350 250 324" fill="none" stroke="{b.wood_dark}" '
        f'stroke-width="10" stroke-linecap="round"/><path d="M52 216 Q62 70 200 66 Q338 70 348 216 Q324 190 298 216 Q274 '
        f'190 249 216 Q224 190 200 216 Q176 190 151 216 Q126 190 102 216 Q76 190 52 216Z" fill="{b.fill}"/>'
        f'<path d="M200 66 Q150 120 151 216 Q126 190 102 216 Q110 110 200 66Z M200 66 Q250 120 249 216 Q274 190 298 216 '
        f'Q290 110 200 66Z" fill="{b.dark}" opacity=".4"/><path d="M200 66 V48" stroke="{b.accent}" stroke-width="9" '
        f'stroke-linecap="round"/>'
    )


def jewellery(b: Brush) -> str:
    beads = "".join(
        f'<circle cx="{200 + dx}" cy="{y}" r="11" fill="{(b.main, b.accent)[i % 2]}"/>'
        f'<circle cx="{196 + dx}" cy="{y - 4}" r="3" fill="#fff" opacity=".6"/>'
        for i, (dx, y) in enumerate(
            [
                (-98, 106), (98, 106), (-96, 136), (96, 136), (-88, 166), (88, 166), (-73, 194), (73, 194),
                (-52, 217), (52, 217), (-27, 233), (27, 233),
            ]
        )
    )  # fmt: skip
    return (
        shadow(330, 70)
        + f'<path d="M104 84 Q92 236 200 240 Q308 236 296 84" fill="none" stroke="{b.metal_dark}" stroke-width="4"/>{beads}'
        f'<path d="M200 240 L228 268 L200 314 L172 268Z" fill="{b.accent}"/><path d="M200 240 L228 268 L200 276Z" '
        f'fill="{b.accent_dark}" opacity=".6"/><path d="M172 268 L200 276 L200 314Z" fill="#fff" opacity=".25"/>'
    )


SHAPES = {
    "trainer": trainer, "runner": runner, "boot": boot, "sandal": sandal, "slipper": slipper, "tshirt": tshirt,
    "shirt": shirt, "jumper": jumper, "jacket": jacket, "dress": dress, "trousers": trousers, "backpack": backpack,
    "handbag": handbag, "hat": hat, "scarf": scarf, "watch": watch, "sunglasses": sunglasses, "umbrella": umbrella,
    "jewellery": jewellery,
}  # fmt: skip
