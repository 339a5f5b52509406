"""The style sheet and the script inside every page: light and dark, screen and paper, no outside resource."""

# ruff: noqa: E501 - style sheets read better in rules than in short lines

from __future__ import annotations

CSS = """
:root{--ink:#1c2733;--soft:#56636f;--rule:#dbe1e6;--page:#fff;--card:#f6f8fa;--link:#0b5fa5;--alert:#a11d12;
--alertbg:#fdecea;--warn:#7a5200;--warnbg:#fff6e0;--infobg:#e9f2fa}
@media (prefers-color-scheme:dark){:root{--ink:#e4e9ee;--soft:#a3afba;--rule:#3a4550;--page:#12171c;--card:#1b2229;
--link:#7fbdf0;--alert:#ff9d92;--alertbg:#3d1714;--warn:#f2c66d;--warnbg:#352a10;--infobg:#152a3c}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
main{max-width:1130px;margin:0 auto;padding:2rem 1.5rem 4rem}
nav{font-size:.875rem;max-width:1130px;margin:0 auto;padding:1.2rem 1.5rem 0}
nav ol{list-style:none;margin:.4rem 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}
nav .l3{display:none}
@media (min-width:1500px){body{display:grid;grid-template-columns:250px minmax(0,1950px);justify-content:center}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:2.4rem 1rem;border-right:1px solid var(--rule)}
nav ol{display:block}nav li{margin:.35rem 0}nav .l3{display:block;padding-left:.9rem;font-size:.92em}
main{margin:0;max-width:none;padding-left:2.4rem;padding-right:2.4rem}.banner,.tiles{max-width:1080px}}
a{color:var(--link)}nav a{text-decoration:none;color:var(--soft)}nav a:hover{color:var(--link)}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.4rem;margin:2.8rem 0 .8rem;padding-bottom:.3rem;border-bottom:2px solid var(--rule)}
h3{font-size:1.1rem;margin:1.8rem 0 .5rem}
p,ul{max-width:78ch}.lead{font-size:1.12rem}.note,figcaption,caption,.subtitle{color:var(--soft);font-size:.9rem}
.subtitle{margin:0 0 1.4rem}
.banner{border-left:6px solid var(--link);background:var(--infobg);padding:.7rem 1.1rem;margin:1.1rem 0;
border-radius:4px}.banner p{margin:.15rem 0;max-width:none}
.banner.alert{border-color:var(--alert);background:var(--alertbg)}.banner.alert b{color:var(--alert);font-size:1.2rem}
.banner.warn{border-color:var(--warn);background:var(--warnbg)}.banner.warn b{color:var(--warn)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.2rem 0}
.tiles div{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.7rem .9rem}
.tiles b{display:block;font-size:1.5rem;line-height:1.25}.tiles span{color:var(--soft);font-size:.875rem}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;overflow-wrap:break-word;font-size:.925rem;min-width:50%}
caption{text-align:left;padding:.2rem 0 .5rem;max-width:78ch}
th,td{padding:.38rem .8rem;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top;overflow-wrap:break-word}
td{max-width:34rem}th{border-bottom:2px solid var(--soft);vertical-align:bottom}.n{text-align:right;white-space:nowrap}
tbody tr:hover{background:var(--card)}
th button{font:inherit;font-weight:700;color:inherit;background:none;border:0;padding:0;cursor:pointer}
th[aria-sort=ascending] button::after{content:" \\2191"}th[aria-sort=descending] button::after{content:" \\2193"}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.3rem 1.2rem;font-size:.925rem}
dt{color:var(--soft)}dd{margin:0}
figure{margin:1.2rem 0;text-align:left}figure svg,figure img{max-width:100%;height:auto;display:block}figure svg.chart{overflow:visible}
.paper{overflow-x:auto}.paper svg.ecg{min-width:760px}
svg.ecg{border-radius:3px;background:#fff}
article{border:1px solid var(--rule);border-radius:8px;padding:.9rem 1.1rem;margin:1.4rem 0;background:var(--card)}
main article{margin-left:-1.1rem;margin-right:-1.1rem}
.pair{display:grid;grid-template-columns:minmax(0,1fr);gap:.4rem 1.2rem;align-items:start}
@media (min-width:1500px){.pair{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}.paper svg.ecg{min-width:0}}
.pair>div>h4,.card h4{margin:.5rem 0 .1rem;font-size:1rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr));gap:.9rem;margin:1rem 0}
.card{border:1px solid var(--rule);border-radius:8px;background:var(--card);padding:.7rem .9rem;break-inside:avoid}
.card p{margin:.2rem 0;font-size:.9rem}.card figure{margin:.5rem 0}svg.small{width:100%;height:auto;border-radius:3px}
.card.dotted h4::before{content:"";display:inline-block;width:.75em;height:.75em;border-radius:50%;margin-right:.4em;background:var(--dot)}
.why{display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;align-items:center}.why figure{margin:.3rem 0}.why svg{width:330px;max-width:100%}
article h3{margin-top:.2rem}article figure{margin:.6rem 0}article p{margin:.3rem 0}
details{margin:.7rem 0}summary{cursor:pointer;color:var(--link);font-weight:600}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
footer{margin-top:3rem;border-top:1px solid var(--rule)}
@media (max-width:640px){main{padding:1rem .8rem 3rem}main article{margin-left:-.4rem;margin-right:-.4rem;padding:.5rem}
h1{font-size:1.5rem}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
@page{size:A4;margin:14mm}@page paper{size:A4 landscape;margin:9mm}
@media print{:root{--ink:#000;--soft:#444;--rule:#bbb;--page:#fff;--card:#fff;--link:#000;--alert:#a11d12;
--alertbg:#fff;--warn:#7a5200;--warnbg:#fff;--infobg:#fff}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
nav,script{display:none}body{display:block;font-size:10.5pt}main{max-width:none;padding:0}
h2,h3{break-after:avoid}figure,tr,.banner,.tiles{break-inside:avoid}
main article{page:paper;border:0;margin:0;padding:0;break-before:page}article details{break-before:page}article p{max-width:none;font-size:9.5pt}
.pair{display:block}.pair>div+div{break-before:page}.why{flex-wrap:nowrap;gap:5mm}.why figure{margin:0;flex:none}.why svg{width:52mm}
article h3{margin:0}.strange h4{display:none}.strange figure{margin:2mm 0 0}.strange svg.ecg{max-height:148mm!important}
.paper{margin:0;overflow:visible}.paper svg.ecg{min-width:0;max-width:none;max-height:164mm}
.scroll{overflow:visible}table{font-size:8pt}th,td{padding:.2rem .35rem}.n{white-space:normal}}
"""

SCRIPT = """
addEventListener('beforeprint',()=>document.querySelectorAll('details').forEach(d=>d.open=true));
document.querySelectorAll('table[data-sort]').forEach(t=>{const body=t.tBodies[0];
t.querySelectorAll('th').forEach((h,k)=>{const b=document.createElement('button');b.type='button';
b.append(...h.childNodes);h.append(b);b.onclick=()=>{const up=h.getAttribute('aria-sort')!=='ascending';
t.querySelectorAll('th').forEach(x=>x.removeAttribute('aria-sort'));
h.setAttribute('aria-sort',up?'ascending':'descending');
const key=r=>{const s=r.cells[k].textContent.trim(),v=parseFloat(s.replace(/,/g,''));return isNaN(v)?s:v};
[...body.rows].sort((p,q)=>{const a=key(p),c=key(q),m=typeof a===typeof c;
return (up?1:-1)*(m?(a<c?-1:a>c?1:0):(typeof a==='number'?-1:1))}).forEach(r=>body.append(r))}})});
"""
