"""The script and the style of the interactive map: plain JavaScript on a canvas, nothing is fetched."""

# ruff: noqa: E501 - style sheets read better in rules than in short lines

from __future__ import annotations

MAP_CSS = """
.atlas{margin:1rem 0}.atlas .bar{display:flex;flex-wrap:wrap;gap:.45rem .9rem;align-items:center;margin:0 0 .5rem;font-size:.9rem}
.atlas button,.atlas input[type=search]{font:inherit;color:inherit;background:var(--page);border:1px solid var(--rule);border-radius:5px;padding:.22rem .6rem}
.atlas button{cursor:pointer}.atlas button:hover{border-color:var(--link)}
.atlas [role=group]{display:inline-flex}.atlas [role=group] button{border-radius:0;margin-left:-1px}
.atlas [role=group] button:first-child{border-radius:5px 0 0 5px}.atlas [role=group] button:last-child{border-radius:0 5px 5px 0}
.atlas .choice[aria-pressed=true]{background:var(--link);border-color:var(--link);color:var(--page)}
.atlas .stage{position:relative;border:1px solid var(--rule);border-radius:6px;background:var(--page);height:min(70vh,640px,95vw);min-height:300px;overflow:hidden}
.atlas .stage>canvas{position:absolute;inset:0;width:100%;height:100%;cursor:crosshair;touch-action:pan-y}
.atlas .tip{position:absolute;z-index:2;pointer-events:none;background:var(--page);border:1px solid var(--soft);border-radius:6px;padding:.45rem .6rem;width:322px;max-width:96%;box-shadow:0 3px 14px #0003;font-size:.82rem;line-height:1.35}
.atlas .tip[hidden]{display:none}.atlas .tip b,.atlas .pin b{font-size:.95rem}
.atlas .facts{display:block;color:var(--soft);margin:.1rem 0 .3rem;overflow:hidden;display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical}
.atlas .ecg{display:block;width:300px;max-width:100%;border-radius:3px;background:#fffafa}
.atlas .legend{display:flex;flex-wrap:wrap;gap:.3rem .4rem;margin:.55rem 0;font-size:.85rem;align-items:center}
.atlas .legend button{padding:.08rem .5rem;border-radius:1rem}.atlas .legend button[aria-pressed=false]{opacity:.45;text-decoration:line-through}
.atlas .dot{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin-right:.4em;vertical-align:-.04em}
.atlas .ramp{width:220px;height:.8rem;border-radius:3px}
.atlas .pins{display:flex;flex-wrap:wrap;gap:.7rem;margin:.6rem 0}
@media (min-width:1100px){.atlas .field{display:grid;grid-template-columns:minmax(0,1fr) 340px;gap:1rem;align-items:start}.atlas .side{max-height:min(78vh,720px);overflow:auto}.atlas .side .hint{margin-top:0}}
.atlas .pin{border:1px solid var(--rule);border-radius:6px;background:var(--card);padding:.5rem .65rem;width:326px;max-width:100%;font-size:.82rem;line-height:1.35}
.atlas .pin header{display:flex;justify-content:space-between;gap:.5rem}.atlas .pin header button{padding:0 .45rem}
.atlas .hint{color:var(--soft);font-size:.85rem;margin:.3rem 0}
@media print{.atlas .bar,.atlas .hint,.atlas .tip,.atlas .pin header button{display:none}.atlas .stage{height:115mm;break-inside:avoid}}
"""

MAP_SCRIPT = r"""
(()=>{
const RAMP=['#b4bec7','#e69f00','#c43c00','#a5103c'],LEVELS=32,PINS=6;
const decode=(text,Type)=>{const raw=atob(text),out=new Uint8Array(raw.length);
  for(let i=0;i<raw.length;i++)out[i]=raw.charCodeAt(i);return new Type(out.buffer)};
const make=(tag,props={},...inside)=>{const e=Object.assign(document.createElement(tag),props);e.append(...inside);return e};
const mix=t=>{const x=Math.min(Math.max(t,0),1)*(RAMP.length-1),k=Math.min(Math.floor(x),RAMP.length-2),f=x-k;
  const part=(c,j)=>parseInt(RAMP[c].slice(1+2*j,3+2*j),16);
  return 'rgb('+[0,1,2].map(j=>Math.round(part(k,j)*(1-f)+part(k+1,j)*f)).join(',')+')'};
const number=v=>Math.abs(v)>=1000?v.toFixed(0):String(+v.toPrecision(4));
const many=n=>n.toLocaleString('en');

function paint(canvas,ecg,which){
  const rows=ecg.leads.length,W=300,row=rows>2?46:60,H=row*rows,r=window.devicePixelRatio||1;
  canvas.width=W*r;canvas.height=H*r;canvas.style.aspectRatio=W+'/'+H;
  const c=canvas.getContext('2d');c.scale(r,r);c.fillStyle='#fffafa';c.fillRect(0,0,W,H);
  c.strokeStyle='#f6c3c3';c.lineWidth=.8;c.beginPath();
  for(let x=12;x<W;x+=12){c.moveTo(x,0);c.lineTo(x,H)}for(let y=12;y<H;y+=12){c.moveTo(0,y);c.lineTo(W,y)}c.stroke();
  const n=ecg.points,start=which*rows*n,step=ecg.scales[which];let top=0;
  for(let k=start;k<start+rows*n;k++)if(ecg.data[k]!==-128)top=Math.max(top,Math.abs(ecg.data[k]));
  const gain=[24,12,6].find(g=>top*step*g<=.75*row)||6;
  c.strokeStyle='#111';c.lineWidth=1;c.lineJoin='round';c.font='bold 10px sans-serif';
  for(let l=0;l<rows;l++){c.beginPath();let down=false;const middle=(l+.55)*row;
    for(let k=0;k<n;k++){const v=ecg.data[start+l*n+k];if(v===-128){down=false;continue}
      const x=k*W/n,y=middle-v*step*gain;if(down)c.lineTo(x,y);else c.moveTo(x,y);down=true}
    c.stroke();c.fillStyle='#111';c.fillText(ecg.leads[l],3,l*row+11)}
  if(gain<24){c.textAlign='right';c.fillText('gain reduced',W-3,11)}
}

function atlas(root){
  const d=JSON.parse(root.querySelector('script').textContent),n=d.n,xy=decode(d.xy,Uint16Array);
  const score=d.score&&decode(d.score,Float32Array),rank=d.rank&&decode(d.rank,Int32Array);
  const flagged=d.flagged&&decode(d.flagged,Uint8Array),text=d.text&&decode(d.text,Uint32Array);
  const ecg=d.ecg&&{...d.ecg,of:decode(d.ecg.of,Int32Array),scales:decode(d.ecg.scale,Float32Array),data:decode(d.ecg.values,Int8Array)};
  const groups={};for(const name in d.colours)groups[name]={...d.colours[name],of:decode(d.colours[name].of,Uint8Array),hidden:new Set()};
  const names=[...(score?['score']:[]),...Object.keys(groups)];
  let colour=names[0]||'',only=false,view={k:1,x:0,y:0},near=-1,pins=[],queued=false;

  const canvas=make('canvas',{tabIndex:0}),tip=make('div',{className:'tip',hidden:true}),stage=make('div',{className:'stage'},canvas,tip);
  canvas.setAttribute('role','img');canvas.setAttribute('aria-label',root.dataset.alt);
  const bar=make('div',{className:'bar'}),legend=make('div',{className:'legend'}),shelf=make('div',{className:'pins'});
  const hint=make('p',{className:'hint'});hint.setAttribute('aria-live','polite');
  const usual='Point at a dot to see its ECG, click to keep it. Drag to move; zoom with + and −, a double click, or the wheel after a click into the map. Keys: ← → go through the ranking, Enter keeps, 0 shows all.';
  hint.textContent=usual;
  const context=canvas.getContext('2d');
  const visible=i=>(!only||flagged[i])&&!(groups[colour]&&groups[colour].hidden.has(groups[colour].of[i]));

  const choices=make('span');choices.setAttribute('role','group');choices.setAttribute('aria-label','Colour by');
  for(const name of names){const b=make('button',{type:'button',className:'choice',textContent:name,onclick:()=>recolour(name)});
    b.dataset.colour=name;choices.append(b)}
  if(names.length>1)bar.append(make('span',{textContent:'Colour by'}),choices);
  if(flagged&&flagged.some(v=>v)){const box=make('input',{type:'checkbox',onchange:()=>{only=box.checked;forget();draw()}});
    box.className='only';bar.append(make('label',{},box,' flagged only'))}
  const find=make('input',{type:'search',placeholder:'find a recording',size:16});find.setAttribute('aria-label','Find a recording by its id');
  find.onkeydown=e=>{if(e.key==='Enter')seek(find.value.trim())};
  const tool=(label,title,act)=>{const b=make('button',{type:'button',textContent:label,title,onclick:act});b.setAttribute('aria-label',title);return b};
  bar.append(find,make('span',{},tool('+','Zoom in',()=>zoom(1.6)),' ',tool('−','Zoom out',()=>zoom(1/1.6)),' ',tool('Show all','Show all',reset)));
  root.prepend(bar,make('div',{className:'field'},make('div',{},stage,legend),make('div',{className:'side'},hint,shelf)));

  const size=()=>[stage.clientWidth,stage.clientHeight];
  const base=()=>{const [w,h]=size(),pad=22,s=Math.min((w-2*pad)/Math.max(d.extent[0],.05),(h-2*pad)/Math.max(d.extent[1],.05));
    return {s,x:(w-s*d.extent[0])/2,y:(h-s*d.extent[1])/2}};
  const place=i=>{const b=base(),h=size()[1];
    return [(b.x+b.s*xy[2*i]/65535)*view.k+view.x,(h-b.y-b.s*xy[2*i+1]/65535)*view.k+view.y]};
  const radius=()=>Math.min(7,Math.max(1.3,Math.sqrt(9000/Math.max(n,1))))*Math.min(2,Math.pow(view.k,.35));

  const byScore=[...Array(n).keys()];if(score)byScore.sort((a,b)=>(isNaN(score[a])?-1e30:score[a])-(isNaN(score[b])?-1e30:score[b]));
  const ranked=byScore.slice().reverse();
  function shades(){ // lists of points with their colour, painted in this order
    if(colour==='score'){const [low,high]=d.range,lists=Array.from({length:LEVELS},()=>[]),none=[];
      for(const i of byScore)if(visible(i)){if(isNaN(score[i]))none.push(i);
        else lists[Math.min(LEVELS-1,Math.max(0,Math.floor((score[i]-low)/(high-low)*LEVELS)))].push(i)}
      return [['#8b949d',none],...lists.map((l,k)=>[mix(k/(LEVELS-1)),l])]}
    if(groups[colour]){const g=groups[colour],lists=g.names.map(()=>[]);for(let i=0;i<n;i++)if(visible(i))lists[g.of[i]].push(i);
      return lists.map((l,k)=>[g.colours[k],l]).reverse()}
    return [['#1a7fc1',byScore.filter(visible)]];
  }
  function draw(){if(!queued){queued=true;requestAnimationFrame(()=>{queued=false;render()})}}
  function render(){
    const [w,h]=size(),r=window.devicePixelRatio||1,ink=getComputedStyle(root).color;
    if(canvas.width!==Math.round(w*r)||canvas.height!==Math.round(h*r)){canvas.width=Math.round(w*r);canvas.height=Math.round(h*r)}
    context.setTransform(r,0,0,r,0,0);context.clearRect(0,0,w,h);
    const b=base(),p=radius(),full=2*Math.PI;let shown=0;
    for(const [tone,list] of shades()){context.fillStyle=tone;context.globalAlpha=.85;context.beginPath();shown+=list.length;
      for(const i of list){const x=(b.x+b.s*xy[2*i]/65535)*view.k+view.x,y=(h-b.y-b.s*xy[2*i+1]/65535)*view.k+view.y;
        if(x<-9||y<-9||x>w+9||y>h+9)continue;context.moveTo(x+p,y);context.arc(x,y,p,0,full)}
      context.fill()}
    context.globalAlpha=1;context.strokeStyle=ink;context.lineWidth=.9;
    if(flagged){context.beginPath();for(let i=0;i<n;i++)if(flagged[i]&&visible(i)){const [x,y]=place(i);context.moveTo(x+p+1.2,y);context.arc(x,y,p+1.2,0,full)}context.stroke()}
    context.fillStyle=ink;context.font='11px sans-serif';
    for(const i in d.drawn)if(visible(i)){const [x,y]=place(i);context.fillText(d.drawn[i],x+p+3,y-p-1)}
    context.lineWidth=2;for(const i of [...pins,near])if(i>=0){const [x,y]=place(i);context.strokeStyle=i===near?'#d55e00':'#1a7fc1';context.beginPath();context.arc(x,y,p+4,0,full);context.stroke()}
    root.dataset.colour=colour;root.dataset.shown=shown;
  }
  function key(){
    legend.textContent='';
    if(colour==='score'){legend.append('usual '+number(d.range[0]),
        Object.assign(make('span',{className:'ramp'}),{style:'background:linear-gradient(90deg,'+RAMP.join(',')+')'}),number(d.range[1])+' and more: strange');
      if(flagged&&flagged.some(v=>v))legend.append('\u2003○ flagged')}
    else if(groups[colour]){const g=groups[colour];g.names.forEach((name,k)=>{
        const b=make('button',{type:'button'},Object.assign(make('span',{className:'dot'}),{style:'background:'+g.colours[k]}),name+' '+many(g.counts[k]));
        b.setAttribute('aria-pressed',!g.hidden.has(k));b.title='Show or hide';
        b.onclick=()=>{if(g.hidden.has(k))g.hidden.delete(k);else g.hidden.add(k);b.setAttribute('aria-pressed',!g.hidden.has(k));forget();draw()};legend.append(b)})}
  }
  function recolour(name){colour=name;choices.querySelectorAll('button').forEach(b=>b.setAttribute('aria-pressed',b.dataset.colour===name));forget();key();draw()}
  function facts(i){const out=[];
    if(score)out.push(isNaN(score[i])?'no score':'score '+number(score[i])+(rank&&rank[i]?', rank '+many(rank[i])+' of '+many(d.total):''));
    if(flagged&&flagged[i])out.push('flagged');
    if(groups.cluster)out.push(groups.cluster.names[groups.cluster.of[i]]);
    if(text)out.push(d.texts[text[i]]||'no label');return out.join(' · ')}
  function fill(box,i){box.append(make('span',{className:'facts',textContent:facts(i)}));
    if(ecg&&ecg.of[i]>=0){const c=make('canvas',{className:'ecg'});c.setAttribute('role','img');c.setAttribute('aria-label','First seconds of leads '+ecg.leads.join(', ')+' of '+d.ids[i]);paint(c,ecg,ecg.of[i]);box.append(c)}
    else box.append(make('i',{textContent:'Its ECG is not in this page.'}))}
  function forget(){near=-1;tip.hidden=true}
  function show(i){if(i===near)return;if(i<0){forget();draw();return}
    near=i;tip.textContent='';tip.append(make('b',{textContent:d.ids[i]}));fill(tip,i);tip.hidden=false;
    const [x,y]=place(i),[w,h]=size(),tw=tip.offsetWidth,th=tip.offsetHeight;
    tip.style.left=Math.max(4,x+16+tw<w?x+16:x-16-tw)+'px';tip.style.top=Math.max(4,Math.min(h-th-4,y-th/2))+'px';draw()}
  function at(x,y){let best=-1,least=Math.pow(Math.max(9,radius()+4),2);
    for(let i=0;i<n;i++)if(visible(i)){const [px,py]=place(i),far=(px-x)*(px-x)+(py-y)*(py-y);if(far<least){least=far;best=i}}return best}
  function pin(i){if(i<0||pins.includes(i))return;pins.push(i);
    const box=make('div',{className:'pin'});box.dataset.point=i;
    const close=make('button',{type:'button',textContent:'×',onclick:()=>{pins=pins.filter(p=>p!==i);box.remove();draw()}});close.setAttribute('aria-label','Remove '+d.ids[i]);
    box.append(make('header',{},make('b',{textContent:d.ids[i]}),close));fill(box,i);
    if(d.drawn[i])box.append(make('a',{href:'#anomaly-'+d.drawn[i],textContent:'see all leads and the reasons'}));
    shelf.append(box);if(pins.length>PINS)shelf.firstChild.querySelector('button').click();draw()}
  function seek(name){const i=d.ids.indexOf(name)>=0?d.ids.indexOf(name):d.ids.findIndex(id=>name&&id.startsWith(name));
    if(i<0){hint.textContent='No recording '+name+' on this map'+(d.total>n?', which shows a sample.':'.');return}
    hint.textContent=usual;pin(i);if(view.k<3)zoom(4/view.k);const [x,y]=place(i),[w,h]=size();view.x+=w/2-x;view.y+=h/2-y;forget();show(i);draw()}
  function zoom(f,x,y){const [w,h]=size();x=x===undefined?w/2:x;y=y===undefined?h/2:y;const k=Math.min(60,Math.max(.7,view.k*f)),g=k/view.k;
    view={k,x:x-(x-view.x)*g,y:y-(y-view.y)*g};forget();draw()}
  function reset(){view={k:1,x:0,y:0};forget();draw()}

  const touches=new Map();let moved=0;
  const local=e=>{const b=canvas.getBoundingClientRect();return [e.clientX-b.left,e.clientY-b.top]};
  canvas.onpointerdown=e=>{canvas.setPointerCapture(e.pointerId);touches.set(e.pointerId,local(e));moved=0};
  canvas.onpointermove=e=>{const now=local(e),old=touches.get(e.pointerId);
    if(!old){show(at(...now));return}
    if(touches.size===1){const dx=now[0]-old[0],dy=now[1]-old[1];moved+=Math.abs(dx)+Math.abs(dy);
      if(moved>4){view.x+=dx;view.y+=dy;forget();draw()}}
    else{const other=[...touches].find(([id])=>id!==e.pointerId)[1],gap=p=>Math.hypot(p[0]-other[0],p[1]-other[1]);
      moved=99;zoom(gap(now)/Math.max(1,gap(old)),(now[0]+other[0])/2,(now[1]+other[1])/2)}
    touches.set(e.pointerId,now)};
  canvas.onpointerup=e=>{touches.delete(e.pointerId);if(moved<=4){const i=at(...local(e));show(i);pin(i)}};
  canvas.onpointercancel=e=>touches.delete(e.pointerId);
  canvas.onpointerleave=()=>show(-1);
  canvas.ondblclick=e=>zoom(2,...local(e));
  canvas.addEventListener('wheel',e=>{if(!e.ctrlKey&&document.activeElement!==canvas)return;e.preventDefault();zoom(Math.exp(-e.deltaY/400),...local(e))},{passive:false});
  canvas.onkeydown=e=>{const listed=ranked.filter(visible),k=listed.indexOf(near);
    const act={ArrowRight:()=>show(listed[Math.min(k+1,listed.length-1)]),ArrowLeft:()=>show(listed[Math.max(k-1,0)]),
      Enter:()=>pin(near),Escape:()=>show(-1),'+':()=>zoom(1.6),'-':()=>zoom(1/1.6),'0':reset}[e.key];
    if(act){e.preventDefault();act()}};
  new ResizeObserver(draw).observe(stage);matchMedia('(prefers-color-scheme:dark)').addEventListener('change',draw);
  addEventListener('beforeprint',render);
  root.place=i=>{const b=canvas.getBoundingClientRect(),[x,y]=place(i);return [x+b.left,y+b.top]};
  recolour(colour);
}
document.querySelectorAll('.atlas').forEach(atlas);
})();
"""
