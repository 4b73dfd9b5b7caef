"""Kitchen, table, furniture, lighting and textiles."""
# ruff: noqa: E501  (paths are easier to read whole)

from .brush import Brush, shadow


def mug(b: Brush) -> str:
    steam = (
        f'<path d="M172 96 q-14 -20 0 -38 t0 -36 M214 96 q-14 -20 0 -38 t0 -36" fill="none" stroke="{b.dark}" '
        f'stroke-width="6" stroke-linecap="round" opacity=".25"/>'
        if b.choose(2)
        else ""
    )
    band = f'<rect x="106" y="258" width="168" height="22" fill="{b.accent}"/>' if b.choose(3) == 1 else ""
    return (
        shadow(326, 112)
        + f'{steam}<path d="M268 160 h26 q46 0 46 54 t-50 56 h-24" fill="none" stroke="{b.dark}" stroke-width="20"/>'
        f'<path d="M106 128 H274 V276 Q274 322 228 322 H152 Q106 322 106 276Z" fill="{b.fill}"/>{band}'
        f'<path d="M106 128 h26 V320 Q106 312 106 276Z" fill="#fff" opacity=".18"/>'
        f'<ellipse cx="190" cy="128" rx="84" ry="17" fill="{b.light}"/><ellipse cx="190" cy="130" rx="72" ry="12" '
        f'fill="{b.deep}"/>'
    )


def pan(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(312, 112, 180)
            + f'<path d="M56 188 H304 L296 288 Q294 308 272 308 H88 Q66 308 64 288Z" fill="{b.fill}"/>'
            f'<rect x="46" y="176" width="268" height="20" rx="10" fill="{b.dark}"/><path d="M304 186 h66 q12 0 12 10 t-12 '
            f'10 h-66z" fill="{b.ink}"/><path d="M70 160 Q180 104 290 160 L296 176 H64Z" fill="{b.light}"/>'
            f'<circle cx="180" cy="120" r="15" fill="{b.accent}"/><path d="M80 214 L84 286" stroke="#fff" '
            f'stroke-width="10" opacity=".25" stroke-linecap="round"/>'
        )
    return (
        shadow(330, 120, 170)
        + f'<rect x="232" y="84" width="26" height="150" rx="12" transform="rotate(45 245 160)" fill="{b.wood}"/>'
        f'<circle cx="162" cy="220" r="110" fill="{b.dark}"/><circle cx="162" cy="220" r="96" fill="{b.fill}"/>'
        f'<circle cx="162" cy="220" r="72" fill="none" stroke="{b.dark}" stroke-width="4" opacity=".4"/>'
        f'<path d="M96 200 Q108 150 158 144" fill="none" stroke="#fff" stroke-width="10" opacity=".25" '
        f'stroke-linecap="round"/><circle cx="306" cy="98" r="7" fill="{b.accent}"/>'
    )


def knife(b: Brush) -> str:
    return (
        shadow(338, 110)
        + f'<g transform="rotate(38 200 200)"><path d="M178 30 Q240 60 236 196 H178Z" fill="{b.metal_light}"/>'
        f'<path d="M178 30 Q198 60 196 196 H178Z" fill="{b.metal}"/><rect x="172" y="192" width="68" height="16" rx="4" '
        f'fill="{b.metal_dark}"/><path d="M178 208 H234 L238 348 Q238 366 216 366 H200 Q178 366 178 346Z" '
        f'fill="{b.fill}"/><g fill="{b.accent}"><circle cx="206" cy="236" r="7"/><circle cx="206" cy="284" r="7"/>'
        f'<circle cx="206" cy="332" r="7"/></g></g>'
    )


def teapot(b: Brush) -> str:
    return (
        shadow(324, 118) + f'<path d="M286 216 Q332 206 336 152 L362 158 Q358 250 282 276Z" fill="{b.main}"/>'
        f'<path d="M116 206 Q54 190 56 236 Q58 284 120 278" fill="none" stroke="{b.dark}" stroke-width="17"/>'
        f'<path d="M104 236 Q104 152 200 150 Q296 152 296 236 Q296 318 200 320 Q104 318 104 236Z" fill="{b.fill}"/>'
        f'<path d="M128 214 Q136 176 172 166" fill="none" stroke="#fff" stroke-width="11" opacity=".35" '
        f'stroke-linecap="round"/><path d="M142 160 Q148 122 200 120 Q252 122 258 160 Q200 178 142 160Z" '
        f'fill="{b.dark}"/><circle cx="200" cy="108" r="17" fill="{b.accent}"/>'
    )


def jar(b: Brush) -> str:
    return (
        shadow(330, 92)
        + f'<path d="M118 138 H282 Q296 160 296 184 V296 Q296 326 266 326 H134 Q104 326 104 296 V184 Q104 160 118 138Z" '
        f'fill="{b.light}" opacity=".75"/><path d="M104 206 H296 V296 Q296 326 266 326 H134 Q104 326 104 296Z" '
        f'fill="{b.fill}"/><rect x="112" y="92" width="176" height="48" rx="14" fill="{b.wood}"/>'
        f'<rect x="112" y="122" width="176" height="18" rx="8" fill="{b.wood_dark}"/>'
        f'<rect x="150" y="226" width="100" height="56" rx="8" fill="{b.paper}"/><path d="M166 246 H234 M174 262 H226" '
        f'stroke="{b.accent}" stroke-width="6" stroke-linecap="round"/><path d="M124 170 V290" stroke="#fff" '
        f'stroke-width="9" opacity=".4" stroke-linecap="round"/>'
    )


def board(b: Brush) -> str:
    return (
        shadow(346, 96)
        + f'<rect x="182" y="44" width="36" height="86" rx="16" fill="{b.wood_dark}"/><circle cx="200" cy="66" r="9" '
        f'fill="{b.paper}"/><rect x="112" y="112" width="176" height="228" rx="26" fill="{b.wood}"/>'
        f'<path d="M132 150 Q190 138 268 156 M130 194 Q200 184 270 198 M130 286 Q200 300 270 284" fill="none" '
        f'stroke="{b.wood_dark}" stroke-width="4" opacity=".5"/><path d="M112 224 H288 V262 H112Z" fill="{b.fill}"/>'
        f'<path d="M112 222 H288 M112 264 H288" stroke="{b.accent}" stroke-width="5"/>'
    )


def plate(b: Brush) -> str:
    return (
        shadow(332, 130)
        + f'<circle cx="200" cy="200" r="136" fill="{b.dark}"/><circle cx="200" cy="196" r="134" fill="{b.fill}"/>'
        f'<circle cx="200" cy="196" r="122" fill="none" stroke="{b.accent}" stroke-width="5"/>'
        f'<circle cx="200" cy="196" r="86" fill="{b.light}"/><circle cx="200" cy="196" r="86" fill="none" '
        f'stroke="{b.dark}" stroke-width="3" opacity=".4"/><path d="M142 168 Q158 134 196 128" fill="none" stroke="#fff" '
        f'stroke-width="9" opacity=".6" stroke-linecap="round"/>'
    )


def bowl(b: Brush) -> str:
    return (
        shadow(312, 100) + f'<path d="M70 186 H330 Q326 300 240 304 H160 Q74 300 70 186Z" fill="{b.fill}"/>'
        f'<rect x="148" y="296" width="104" height="18" rx="8" fill="{b.dark}"/>'
        f'<ellipse cx="200" cy="186" rx="130" ry="32" fill="{b.light}"/><ellipse cx="200" cy="190" rx="114" ry="23" '
        f'fill="{b.dark}"/><path d="M74 206 Q200 262 326 206" fill="none" stroke="{b.accent}" stroke-width="7"/>'
    )


def glass(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(342, 70)
            + f'<path d="M138 60 H262 Q268 178 200 190 Q132 178 138 60Z" fill="{b.light}" opacity=".85"/>'
            f'<path d="M136 108 H264 Q258 178 200 190 Q142 178 136 108Z" fill="{b.fill}"/>'
            f'<rect x="194" y="186" width="12" height="136" fill="{b.dark}"/><ellipse cx="200" cy="328" rx="62" ry="13" '
            f'fill="{b.dark}"/><ellipse cx="200" cy="324" rx="62" ry="12" fill="{b.accent}"/>'
            f'<path d="M156 82 Q154 130 172 156" fill="none" stroke="#fff" stroke-width="8" opacity=".6" '
            f'stroke-linecap="round"/>'
        )
    return (
        shadow(332, 78)
        + f'<path d="M118 88 H282 L264 316 Q262 328 250 328 H150 Q138 328 136 316Z" fill="{b.light}" opacity=".8"/>'
        f'<path d="M126 190 H274 L264 316 Q262 328 250 328 H150 Q138 328 136 316Z" fill="{b.fill}"/>'
        f'<path d="M140 112 L152 300" stroke="#fff" stroke-width="10" opacity=".5" stroke-linecap="round"/>'
        f'<path d="M118 88 H282" stroke="{b.accent}" stroke-width="7"/>'
    )


def cutlery(b: Brush) -> str:
    return (
        shadow(350, 110)
        + f'<path d="M104 60 V140 M120 60 V140 M136 60 V140" stroke="{b.metal}" stroke-width="9" stroke-linecap="round"/>'
        f'<path d="M98 132 H142 Q142 172 128 178 V204 H112 V178 Q98 172 98 132Z" fill="{b.metal}"/>'
        f'<rect x="107" y="196" width="26" height="146" rx="12" fill="{b.fill}"/>'
        f'<path d="M186 60 Q230 84 222 204 H186Z" fill="{b.metal_light}"/><path d="M186 60 Q200 90 198 204 H186Z" '
        f'fill="{b.metal}"/><rect x="184" y="196" width="28" height="146" rx="12" fill="{b.fill}"/>'
        f'<ellipse cx="280" cy="104" rx="30" ry="46" fill="{b.metal}"/><ellipse cx="276" cy="98" rx="18" ry="30" '
        f'fill="{b.metal_light}"/><rect x="272" y="146" width="16" height="60" fill="{b.metal}"/>'
        f'<rect x="267" y="196" width="26" height="146" rx="12" fill="{b.fill}"/><path d="M107 214 h26 M184 214 h28 M267 '
        f'214 h26" stroke="{b.accent}" stroke-width="8"/>'
    )


def linen(b: Brush) -> str:
    return (
        shadow(318, 128)
        + f'<path d="M76 250 L196 190 L326 250 L204 316Z" fill="{b.deep}"/><path d="M76 226 L196 166 L326 226 L204 '
        f'292Z" fill="{b.accent}"/><path d="M76 202 L196 142 L326 202 L204 268Z" fill="{b.dark}"/>'
        f'<path d="M76 178 L196 118 L326 178 L204 244Z" fill="{b.fill}"/><path d="M94 180 L198 128 L306 180" fill="none" '
        f'stroke="{b.light}" stroke-width="5" stroke-dasharray="9 7"/>'
    )


def chair(b: Brush) -> str:
    back = (
        f'<rect x="128" y="66" width="144" height="122" rx="22" fill="{b.fill}"/>',
        f'<path d="M132 190 V84 Q200 54 268 84 V190" fill="none" stroke="{b.wood}" stroke-width="16"/>'
        f'<path d="M166 76 V190 M200 70 V190 M234 76 V190" stroke="{b.wood_dark}" stroke-width="9"/>',
        f'<path d="M126 80 Q200 58 274 80 L266 126 Q200 112 134 126Z" fill="{b.fill}"/><path d="M136 90 V196 M264 90 '
        f'V196" stroke="{b.wood_dark}" stroke-width="12"/>',
    )[b.choose(3)]
    return (
        shadow(346, 104) + f'<path d="M140 216 L122 344 M260 216 L278 344" stroke="{b.wood_dark}" stroke-width="14" '
        f'stroke-linecap="round"/><path d="M162 220 L156 320 M238 220 L244 320" stroke="{b.wood}" stroke-width="10" '
        f'stroke-linecap="round" opacity=".7"/>{back}<path d="M112 196 H288 Q300 226 284 232 H116 Q100 226 112 196Z" '
        f'fill="{b.fill}"/><path d="M108 218 Q200 228 292 218 Q292 232 284 234 H116 Q106 232 108 218Z" fill="{b.dark}"/>'
    )


def table(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(334, 130)
            + f'<path d="M196 186 L132 330 M204 186 L268 330 M200 186 V322" stroke="{b.wood_dark}" stroke-width="13" '
            f'stroke-linecap="round"/><ellipse cx="200" cy="184" rx="150" ry="36" fill="{b.dark}"/><ellipse cx="200" '
            f'cy="174" rx="150" ry="36" fill="{b.fill}"/><ellipse cx="176" cy="166" rx="90" ry="15" fill="#fff" '
            f'opacity=".18"/>'
        )
    return (
        shadow(336, 156)
        + f'<path d="M82 196 L74 332 M318 196 L326 332" stroke="{b.wood}" stroke-width="17" stroke-linecap="round"/>'
        f'<path d="M122 196 L118 306 M278 196 L282 306" stroke="{b.wood_dark}" stroke-width="12" '
        f'stroke-linecap="round"/><path d="M74 150 H326 L356 186 H44Z" fill="{b.fill}"/><rect x="44" y="184" width="312" '
        f'height="20" rx="6" fill="{b.dark}"/><rect x="156" y="204" width="88" height="24" fill="{b.light}"/>'
        f'<circle cx="200" cy="216" r="6" fill="{b.accent}"/>'
    )


def shelf(b: Brush) -> str:
    books = "".join(
        f'<rect x="{118 + i * 17}" y="{128 - (i * 7 + b.choose(9)) % 18}" width="14" '
        f'height="{44 + (i * 7 + b.choose(9)) % 18}" fill="{(b.accent, b.light, b.dark)[i % 3]}"/>'
        for i in range(6)
    )
    return (
        shadow(350, 112)
        + f'<rect x="92" y="62" width="216" height="286" rx="8" fill="{b.dark}"/><rect x="106" y="76" width="188" '
        f'height="258" fill="{b.light}"/>{books}<rect x="252" y="136" width="26" height="36" rx="6" fill="{b.wood}"/>'
        f'<circle cx="265" cy="124" r="18" fill="{b.leaf}"/><rect x="120" y="216" width="70" height="42" rx="5" '
        f'fill="{b.accent}"/><circle cx="244" cy="236" r="22" fill="{b.dark}"/><rect x="122" y="292" width="156" '
        f'height="42" rx="4" fill="{b.wood_light}"/><circle cx="200" cy="313" r="6" fill="{b.wood_dark}"/>'
        f'<path d="M92 172 H308 V184 H92Z M92 258 H308 V270 H92Z" fill="{b.fill}"/>'
    )


def sofa(b: Brush) -> str:
    return (
        shadow(324, 166)
        + f'<path d="M96 296 V324 M304 296 V324" stroke="{b.wood_dark}" stroke-width="13" stroke-linecap="round"/>'
        f'<rect x="78" y="122" width="244" height="130" rx="30" fill="{b.dark}"/><rect x="38" y="178" width="64" '
        f'height="124" rx="28" fill="{b.main}"/><rect x="298" y="178" width="64" height="124" rx="28" fill="{b.main}"/>'
        f'<rect x="90" y="216" width="112" height="60" rx="16" fill="{b.fill}"/><rect x="198" y="216" width="112" '
        f'height="60" rx="16" fill="{b.fill}"/><rect x="84" y="262" width="232" height="40" rx="10" fill="{b.dark}"/>'
        f'<rect x="108" y="166" width="62" height="58" rx="12" transform="rotate(-9 139 195)" fill="{b.accent}"/>'
        f'<path d="M200 140 V212" stroke="{b.deep}" stroke-width="3" opacity=".5"/>'
    )


def stool(b: Brush) -> str:
    return (
        shadow(342, 96)
        + f'<path d="M150 176 L116 336 M250 176 L284 336" stroke="{b.wood}" stroke-width="15" stroke-linecap="round"/>'
        f'<path d="M184 180 L176 318 M216 180 L224 318" stroke="{b.wood_dark}" stroke-width="11" '
        f'stroke-linecap="round"/><path d="M132 262 H268" stroke="{b.wood_dark}" stroke-width="9"/>'
        f'<ellipse cx="200" cy="172" rx="104" ry="27" fill="{b.dark}"/><ellipse cx="200" cy="158" rx="104" ry="29" '
        f'fill="{b.fill}"/><path d="M98 164 Q200 206 302 164" fill="none" stroke="{b.accent}" stroke-width="5"/>'
    )


def lamp(b: Brush) -> str:
    base = (
        f'<path d="M200 200 V312" stroke="{b.metal_dark}" stroke-width="12"/><ellipse cx="200" cy="318" rx="64" ry="14" '
        f'fill="{b.metal_dark}"/>',
        f'<path d="M172 200 H228 Q262 250 244 302 Q240 324 200 324 Q160 324 156 302 Q138 250 172 200Z" '
        f'fill="{b.accent}"/><path d="M168 226 Q156 256 166 296" fill="none" stroke="#fff" stroke-width="8" '
        f'opacity=".35" stroke-linecap="round"/>',
        f'<path d="M188 200 H212 V296 H188Z" fill="{b.wood}"/><path d="M140 324 L160 292 H240 L260 324Z" '
        f'fill="{b.wood_dark}"/>',
    )[b.choose(3)]
    shade = (
        "M150 78 H250 L286 204 H114Z",
        "M124 84 H276 V204 H124Z",
        "M112 204 Q116 82 200 82 Q284 82 288 204Z",
    )[b.choose(3, 1)]
    return (
        shadow(332, 92)
        + f'<path d="M114 204 L70 330 H330 L286 204Z" fill="#ffe9b0" opacity=".28"/>{base}<path d="{shade}" '
        f'fill="{b.fill}"/><path d="M114 198 H286 V208 H114Z" fill="#ffefc4"/>'
    )


def floorlamp(b: Brush) -> str:
    return (
        shadow(366, 66, 176)
        + f'<path d="M214 138 L144 360 H330Z" fill="#ffe9b0" opacity=".3"/><path d="M176 352 V112 Q176 44 236 48 Q268 52 '
        f'268 84" fill="none" stroke="{b.metal_dark}" stroke-width="9"/><ellipse cx="176" cy="358" rx="58" ry="12" '
        f'fill="{b.ink}"/><path d="M246 84 H290 L332 168 H204Z" fill="{b.fill}"/><path d="M204 164 H332 V174 H204Z" '
        f'fill="#ffefc4"/><circle cx="176" cy="216" r="9" fill="{b.accent}"/>'
    )


def pendant(b: Brush) -> str:
    shade = (
        "M186 132 H214 Q306 160 312 250 H88 Q94 160 186 132Z",
        "M176 140 H224 L300 252 H100Z",
        "M200 132 a84 84 0 1 0 .1 0Z",
    )[b.choose(3)]
    glow = "" if b.choose(3) == 2 else '<ellipse cx="200" cy="252" rx="46" ry="22" fill="#ffefc4"/>'
    return (
        f'<path d="M110 256 L60 390 H340 L290 256Z" fill="#ffe9b0" opacity=".3"/>'
        f'<path d="M200 0 V138" stroke="{b.ink}" stroke-width="6"/>{glow}<path d="{shade}" fill="{b.fill}"/>'
        f'<rect x="182" y="108" width="36" height="32" rx="6" fill="{b.accent}"/><path d="M128 226 Q134 186 172 164" '
        f'fill="none" stroke="#fff" stroke-width="9" opacity=".35" stroke-linecap="round"/>'
    )


def lantern(b: Brush) -> str:
    return (
        shadow(346, 90)
        + f'<path d="M160 96 Q164 46 200 46 Q236 46 240 96" fill="none" stroke="{b.metal_dark}" stroke-width="8"/>'
        f'<path d="M152 92 H248 L284 138 H116Z" fill="{b.dark}"/><rect x="124" y="138" width="152" height="184" '
        f'fill="#fff4d2"/><path d="M200 214 q-26 -34 0 -66 q26 32 0 66" fill="#f3a53b" transform="translate(0 22)"/>'
        f'<rect x="176" y="238" width="48" height="78" rx="5" fill="{b.light}"/><path d="M124 138 H276 V322 H124Z" '
        f'fill="none" stroke="{b.main}" stroke-width="13"/><path d="M104 322 H296 V342 H104Z" '
        f'fill="{b.main}"/><circle cx="200" cy="114" r="9" fill="{b.accent}"/>'
    )


def candle(b: Brush) -> str:
    heights = ((150, 190), (118, 150), (176, 200))[b.choose(3)]
    return (
        shadow(332, 116)
        + f'<circle cx="150" cy="{heights[0] - 44}" r="44" fill="#ffe7a8" opacity=".5"/><circle cx="256" '
        f'cy="{heights[1] - 44}" r="38" fill="#ffe7a8" opacity=".5"/><rect x="104" y="{heights[0]}" width="92" '
        f'height="{324 - heights[0]}" rx="9" fill="{b.fill}"/><rect x="216" y="{heights[1]}" width="80" '
        f'height="{324 - heights[1]}" rx="9" fill="{b.accent}"/><ellipse cx="150" cy="{heights[0]}" rx="46" ry="11" '
        f'fill="{b.light}"/><ellipse cx="256" cy="{heights[1]}" rx="40" ry="10" fill="#fff" opacity=".5"/>'
        f'<path d="M150 {heights[0]} v-20 M256 {heights[1]} v-18" stroke="{b.ink}" stroke-width="5"/>'
        f'<path d="M150 {heights[0] - 16} q-20 -26 0 -54 q20 28 0 54 M256 {heights[1] - 14} q-17 -23 0 -48 q17 25 0 48" '
        f'fill="#f3a53b"/>'
    )


def fairylights(b: Brush) -> str:
    points = [(56, 118), (98, 158), (148, 180), (200, 188), (252, 180), (302, 158), (344, 118)]
    low = [(84, 236), (132, 276), (200, 294), (268, 276), (316, 236)]
    bulbs = "".join(
        f'<circle cx="{x}" cy="{y + 20}" r="27" fill="{("#ffe7a8")}" opacity=".55"/><rect x="{x - 6}" y="{y - 5}" '
        f'width="12" height="13" rx="3" fill="{b.ink}"/><path d="M{x} {y + 42} q-17 -16 -9 -34 h18 q8 18 -9 34" '
        f'fill="{(b.main, b.accent)[i % 2]}"/>'
        for i, (x, y) in enumerate(points + low)
    )
    return f'<path d="M28 84 Q200 288 372 84 M52 196 Q200 384 348 196" fill="none" stroke="{b.ink}" stroke-width="5"/>{bulbs}'


def cushion(b: Brush) -> str:
    trim = (
        f'<path d="M92 92 Q200 122 308 92 Q282 200 308 308 Q200 280 92 308 Q118 200 92 92Z" fill="none" '
        f'stroke="{b.accent}" stroke-width="8" stroke-linejoin="round"/>'
        if b.choose(2)
        else f'<circle cx="200" cy="200" r="13" fill="{b.accent}"/><path d="M200 200 L164 176 M200 200 L236 176 M200 200 '
        f'L166 228 M200 200 L234 228" stroke="{b.dark}" stroke-width="4" opacity=".5"/>'
    )
    return (
        shadow(330, 120)
        + f'<path d="M84 84 Q200 118 316 84 Q288 200 316 316 Q200 284 84 316 Q112 200 84 84Z" fill="{b.fill}" '
        f'stroke="{b.main}" stroke-width="14" stroke-linejoin="round"/>{trim}<path d="M104 112 Q116 196 106 284" '
        f'fill="none" stroke="#fff" stroke-width="10" opacity=".22" stroke-linecap="round"/>'
    )


def throw(b: Brush) -> str:
    fringe = "".join(f'<path d="M{x} 300 v30" stroke="{b.dark}" stroke-width="6"/>' for x in range(112, 294, 15))
    return (
        shadow(338, 116) + f'{fringe}<path d="M100 92 Q100 66 128 66 H276 Q302 66 302 92 V304 H100Z" fill="{b.fill}"/>'
        f'<path d="M100 92 Q100 66 128 66 H276 Q302 66 302 92 V124 Q200 150 100 124Z" fill="{b.dark}" opacity=".5"/>'
        f'<path d="M100 262 H302 V282 H100Z" fill="{b.accent}"/><path d="M166 132 Q158 210 166 304 M240 132 Q248 210 240 '
        f'304" stroke="{b.dark}" stroke-width="5" fill="none" opacity=".4"/>'
    )


def rug(b: Brush) -> str:
    if b.choose(2):
        return (
            shadow(304, 150)
            + f'<ellipse cx="200" cy="216" rx="164" ry="92" fill="{b.dark}"/><ellipse cx="200" cy="208" rx="164" ry="92" '
            f'fill="{b.fill}"/><ellipse cx="200" cy="208" rx="132" ry="72" fill="none" stroke="{b.accent}" '
            f'stroke-width="11"/><ellipse cx="200" cy="208" rx="78" ry="42" fill="none" stroke="{b.light}" '
            f'stroke-width="9"/>'
        )
    fringe = "".join(f'<path d="M{x} 292 l-4 24" stroke="{b.paper}" stroke-width="5"/>' for x in range(42, 366, 15))
    return (
        shadow(312, 160)
        + f'{fringe}<path d="M92 112 H308 L368 296 H32Z" fill="{b.fill}"/><path d="M108 128 H292 L340 280 H60Z" '
        f'fill="none" stroke="{b.accent}" stroke-width="10"/><path d="M200 154 L264 204 L200 254 L136 204Z" '
        f'fill="{b.light}"/><path d="M200 174 L238 204 L200 234 L162 204Z" fill="{b.accent}"/>'
    )


def towel(b: Brush) -> str:
    return shadow(316, 120) + "".join(
        f'<rect x="92" y="{y}" width="216" height="58" rx="27" fill="{colour}"/><rect x="100" y="{y + 8}" width="26" '
        f'height="42" rx="13" fill="{b.deep}" opacity=".18"/><path d="M250 {y} h20 v58 h-20z" fill="{band}"/>'
        for y, colour, band in ((252, b.dark, b.light), (196, b.fill, b.accent), (140, b.accent, b.main))
    )


def curtain(b: Brush) -> str:
    folds = "".join(
        f'<path d="M{x} 84 Q{x - 8} 210 {x} 338" stroke="{b.dark}" stroke-width="7" fill="none" opacity=".45"/>'
        for x in (104, 132, 268, 296)
    )
    return (
        f'<rect x="120" y="88" width="160" height="220" fill="#dcecf5"/><path d="M200 88 V308 M120 196 H280" '
        f'stroke="{b.paper}" stroke-width="9"/><path d="M78 80 H190 Q186 200 130 236 Q150 290 146 342 H78Z M322 80 H210 '
        f'Q214 200 270 236 Q250 290 254 342 H322Z" fill="{b.fill}"/>{folds}<path d="M78 238 Q110 258 140 232 M322 238 '
        f'Q290 258 260 232" fill="none" stroke="{b.accent}" stroke-width="11"/><rect x="52" y="64" width="296" '
        f'height="14" rx="7" fill="{b.wood_dark}"/><circle cx="50" cy="71" r="13" fill="{b.wood}"/><circle cx="350" '
        f'cy="71" r="13" fill="{b.wood}"/>'
    )


SHAPES = {
    "mug": mug, "pan": pan, "knife": knife, "teapot": teapot, "jar": jar, "board": board, "plate": plate, "bowl": bowl,
    "glass": glass, "cutlery": cutlery, "linen": linen, "chair": chair, "table": table, "shelf": shelf, "sofa": sofa,
    "stool": stool, "lamp": lamp, "floorlamp": floorlamp, "pendant": pendant, "lantern": lantern, "candle": candle,
    "fairylights": fairylights, "cushion": cushion, "throw": throw, "rug": rug, "towel": towel, "curtain": curtain,
}  # fmt: skip
