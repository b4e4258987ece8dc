"""Words by which a tag in a transcript is known: for a sound, a speaker's role, or mere words.

The lists hold what transcripts of several languages and annotation guides use. English words stand
without endings: ``laugh`` covers laughs, laughing, laughed and laughter. Small letters throughout.
"""

from __future__ import annotations

_ENGLISH_VOICE = """
laugh laughter chuckle giggle snicker snigger cackle guffaw sigh sob cry weep whimper whine moan
groan grunt growl snarl hiss gasp gulp swallow breath breathe breathing inhale exhale pant huff puff
wheeze cough sneeze sniff sniffle snort snore yawn hum humming sing whistle whisper murmur mumble
mutter shout yell scream shriek screech squeal howl wail roar cheer clap applause applaud ovation
boo tut tsk lipsmack smack burp belch hiccup hiccough vomit retch spit clear throat stammer stutter
nod shrug smile grin frown gesture blink wink inaudible unintelligible indistinct indiscernible
muffled garbled crosstalk overlapping chatter chattering babble bleep bleeped
"""

_ENGLISH_NOISES = """
click clicking lip kiss hesitation filler false start pause silence silent beat quiet
music musical song singing jingle melody piano guitar drum orchestra instrumental theme tune intro
outro chorus verse bridge refrain hook interlude fanfare violin organ trumpet bell chime ring
ringing ringtone phone telephone buzz buzzer beep tone siren alarm horn honk door doorbell slam
knock creak squeak bang boom thud thump crash clatter clang clank clink crack crackle pop snap
rattle rumble rustle shuffle scrape scratch splash drip trickle wind rain thunder storm wave water
fire footstep step engine motor car traffic train plane gunshot gun shot shoot explosion explode
glass shatter break typing keyboard mouse paper page bark meow purr chirp tweet moo neigh crow
animal dog cat bird birdsong baby crowd audience noise noisy static feedback background ambience
ambient ambiance sound sfx fx effect echo reverb distortion mic microphone tape recording unclear
overlap simultaneous interrupt interruption interposing foreign language redacted censored
expletive blank audio skip end continue continued omitted cut fade sic beatbox unk unknown word sil
spn nsn nsp pad eos bos cls sep mask vocalized nonspeech nonverbal hes br lg ls cg ns lipnoise
mouthnoise citation needed ref footnote tick tock ticking whoosh swoosh swish sizzle gurgle squelch
flutter flap hoot croak bleat bray ding dong jingling thwack whack slap punch hit kick stomp tap
tapping english french german spanish italian russian chinese mandarin japanese korean arabic latin
greek hindi portuguese dutch polish turkish
"""

_OTHER_SOUNDS = """
lachen lacht gelächter seufzt seufzen husten hustet räuspert räuspern musik applaus beifall stille
geräusch geräusche unverständlich weint flüstert atmet lautes leises
rire rires rit soupir soupire toux tousse musique applaudissements bruit bruits chuchote pleure
respiration
risa risas ríe suspira suspiro tos tose música aplausos ruido silencio susurra llora ininteligible
risata risate ride sospira sospiro tossisce musica applausi rumore silenzio sussurra piange
risos ri suspira ruído tosse chora inaudível
gelach lacht zucht hoest muziek geluid stilte
смех смеётся смеется вздох вздыхает кашель кашляет музыка аплодисменты шум тишина пауза шепчет
плачет неразборчиво сміх музика оплески
śmiech muzyka oklaski kaszel westchnienie cisza szum
gülüyor gülüşmeler müzik alkış öksürük sessizlik
γέλια γελάει μουσική χειροκρότημα χειροκροτήματα βήχας σιωπή αναστεναγμός
skratt musik applåder latter musikk
笑 笑声 笑聲 大笑 音乐 音樂 掌声 掌聲 叹气 嘆氣 咳嗽 噪音 停顿 沉默 哭泣 哭 呼吸
笑い 笑い声 音楽 拍手 ため息 咳 沈黙
웃음 박수 음악 한숨 기침 침묵
ضحك موسيقى تصفيق سعال صمت
हँसी हंसी संगीत तालियाँ
"""

_MANNERS = """
happy sad angry excited calm neutral surprised fearful afraid disgusted cheerful serious nervous
tired bored sarcastic sarcastically angrily happily sadly softly loudly quietly slowly quickly
whispering whispered shouting hushed soft loud slow fast faint distant emphasis emphatic dramatic
dry ironic gentle tender amused annoyed worried confused curious scared shocked hesitant
breathy hoarse trembling monotone
"""

VOICE = frozenset(f"{_ENGLISH_VOICE} {_OTHER_SOUNDS}".split())
"""Words of what people do with their voices and of gaps in a transcript."""

SOUNDS = VOICE | frozenset(f"{_ENGLISH_NOISES} {_MANNERS}".split())
"""These, noises, and ways of speaking."""

ALSO_NAMES = frozenset(
    "bell storm wind sunny page crow bird rain waters melody skip cat fire".split()
)
"""Of these, words that are also names of people when they have a capital."""

BESIDE_SOUNDS = frozenset(
    """
    a an the and of in on off to from with at by is are his her their its very some more all both
    he she they everyone light heavy big small long short brief high low deep old door
    man woman boy girl child men women children people someone another offscreen
    plays playing played continues begins stops starts ends opens closes opening closing
    """.split()
)
"""What may stand beside a sound in round brackets or asterisks: (she laughs), (soft music)."""

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those and or but nor so yet if of in on at to from by with for as than
    then is are was were be been being am has have had do does did can could shall should will would
    may might must not no yes i you he she it we they me him us them my your his her its our their
    who whom whose which what where when why how there here also all any each every some such only
    just even still more most other said says
    """.split()
)
"""Words of grammar. A tag of nothing else is an editor's addition: he said [that] it was."""

ROLES = frozenset(
    """
    speaker host guest narrator interviewer interviewee moderator announcer presenter reporter
    anchor caller operator agent customer client patient doctor nurse judge lawyer witness teacher
    student man woman boy girl male female child mother father user assistant
    sprecher sprecherin moderatorin erzähler locuteur locutrice narrateur hablante narrador
    narratore спикер диктор ведущий рассказчик 旁白 主持人 记者 記者
    """.split()
)
"""Who somebody is where no name is known."""

PARTICLES = frozenset(
    "von van der den de da di del della la le el al bin ibn zu dos du ter y e of the".split()
)
"""Small words inside a person's name."""

TITLES = frozenset(
    """
    dr mr mrs ms mx prof st sr jr hr fr mme mlle sra srta ing rev capt lt sgt gen col gov sen rep
    hon sir dame lady lord miss
    """.split()
)

NO_NAMES = frozenset(
    """
    note notes nb ps warning caution attention tip tips hint example examples question questions
    answer answers today tomorrow yesterday tonight first second third fourth finally last next
    result results conclusion summary source sources date time place title chapter part section
    figure table step scene act verse chorus bridge subject re to from cc bcc problem solution
    reason reasons remember remark also however but and so then now here there yes no important
    fact facts rule rules lesson monday tuesday wednesday thursday friday saturday sunday
    morning evening noon night day week month year ingredients ingredient method directions
    instructions address phone email website abstract introduction keywords update breaking
    spoiler edit option options advantages disadvantages pros cons definition moral translation
    meaning motto quote quotation recipe name names age topic topics theme agenda breakfast
    lunch dinner price cost total score status version page line item number size color colour
    weight height length goal goals task tasks idea ideas thus therefore meanwhile otherwise
    result listen look wait see thanks disclaimer correction headline news weather sports
    exercise theorem proof lemma theory hypothesis plan language english german french spanish
    italian http https ftp mailto www achtung hinweis anmerkung beispiel frage antwort heute
    morgen gestern ergebnis fazit wichtig remarque exemple nota réponse aujourd'hui résultat
    ejemplo pregunta respuesta hoy resultado attenzione esempio domanda risposta oggi importante
    exemplo pergunta resposta примечание внимание пример вопрос ответ сегодня важно итог вывод
    σημείωση προσοχή παράδειγμα 注 注意 例如 备注 備註 问题 答案 比如 提示 总之 結論 结论 例 問題
    """.split()
)
"""Words with a colon that open a line and name no person: ``Note: …``."""

COUNTED_THINGS = frozenset(
    """
    item figure fig table chapter section page number no step equation eq part line option question
    case example problem verse article paragraph volume exercise rule
    """.split()
)
"""Before a number in brackets these make it a word of the sentence: see item [3]."""
