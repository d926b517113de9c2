# SPDX-License-Identifier: MIT
"""
Lane domu: Pinion as a domU, by a real `xl create` in a real dom0; and lane xl, the same on this
machine.

    case ---> xl cfg ---> xl-run in dom0 ---> files ---> judge(guest.log) + proof ---> Verdict

The verdict is the judge's on xenconsoled's log. It is believed only with the proof that xl ran this
guest: the nonce (the judge's business), the domain in `xl list`, the reason in xl's log, the
version in `xl info`. What lacks is RIG, or CUT where only the guest's log is missing.
"""

import dataclasses
import os
import re

import verdict as verdicts
from config import fresh_nonce, option
from dom0 import Cut
from lane_dom0 import REBOOTS, next_after
from live import Screen, stage

_SETTLE = 400  # seconds for xl itself, over the guest's own limit


@dataclasses.dataclass(frozen=True)
class Case:
    """
    A guest to run. `cfg` is further lines of xl's; memory and maxmem are in MiB. With `dump` it is
    dumped at its limit (xl-run), which is where exit=idle ends.
    """
    name: str
    memory: int = 128
    maxmem: int = 0
    vcpus: int = 1
    type: str = 'pv'
    cmdline: str = ''
    cfg: str = ''
    dump: int = 0
    time: int = 300
    silence: int = 60


def _quoted(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def xl_cfg(case, domain, kernel, cmdline):
    """The text of the case's xl cfg."""
    lines = [f'name = "{domain}"', f'type = "{case.type}"', f'kernel = {_quoted(kernel)}',
             f'cmdline = {_quoted(cmdline)}', f'memory = {case.memory}', f'vcpus = {case.vcpus}',
             'on_poweroff = "destroy"', 'on_reboot = "destroy"', 'on_crash = "preserve"']
    if case.maxmem:
        lines.append(f'maxmem = {case.maxmem}')
    return '\n'.join(lines + [case.cfg]).rstrip() + '\n'


def _complaint(files):
    """What xl said when it made no domain: its first error, which is the cause of the others."""
    lines = files.get('stream.log', b'').decode(errors='replace').split('\n')
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if 'error' in line.lower()]
    return (errors or said[-1:] or ['it said nothing'])[0]


def missing_proof(files, domain, ended, verdict):
    """What lacks for the proof that xl ran this guest: [(word, sentence)]."""
    text = {name: data.decode(errors='replace') for name, data in files.items()}
    lacks = []
    if ended == 'stale':
        return [('RIG', f'logs of {domain} were there before it')]
    if ended == 'refused':
        return [('RIG', f'xl made no domain: {_complaint(files)}')]
    if 'guest.log' not in files:
        lacks.append(('CUT', 'xenconsoled has no log of the guest'))
    if not re.search(rf'^{re.escape(domain)} +{text.get("domid", "?").strip()} ',
                     text.get('list', ''), re.M):
        lacks.append(('RIG', 'xl list never showed the domain'))
    if re.search(rf'^{re.escape(domain)} ', text.get('list.after', ''), re.M):
        lacks.append(('RIG', 'the domain is still there'))
    if 'Domain-0' not in text.get('list.after', ''):
        lacks.append(('RIG', 'xl list does not even show Domain-0'))
    if ended not in ('timeout', 'silence') and \
            not re.search(r'has shut down, reason code .*\n(.*\n)*.*Done\. Exiting now\s*\Z',
                          text.get('xl.log', '')):
        lacks.append(('RIG', "xl's log does not end in a shutdown reason"))
    version = re.search(r'^xen_version +: (\S+)', text.get('info', ''), re.M)
    if not version:
        lacks.append(('RIG', 'xl info names no version'))
    elif verdict.identity and verdict.identity['xen'] != version[1]:
        lacks.append(('RIG', f"the guest's Xen is {verdict.identity['xen']}, xl's {version[1]}"))
    return lacks


def prove(verdict, lacks):
    """The verdict as the missing proof leaves it: never better."""
    if not lacks:
        return verdict
    word = verdicts.worst([verdict.word] + [word for word, _ in lacks])
    sentences = [sentence for _, sentence in lacks]
    if word == verdict.word:
        return dataclasses.replace(verdict, faults=verdict.faults + sentences)
    reason = next(sentence for w, sentence in lacks if w == word)
    return dataclasses.replace(verdict, word=word, reason=reason, last_test=None,
                               faults=verdict.faults + sentences)


def keep(logs, files, number):
    """Stores what xl-run left: guest.log, dmesg.txt, ...; the second boot's as guest.2.log."""
    for name, data in files.items():
        stem, ext = os.path.splitext(name)
        number_too = f'.{number}' if number > 1 else ''
        with open(os.path.join(logs, f'{stem}{number_too}{ext or ".txt"}'), 'wb') as f:
            f.write(data)


def boot(dom0, case, lane, cmdline, nonce, screen):
    """One `xl create`: (Verdict, files). `cmdline` is the guest's, whole."""
    domain = f'pinion-{nonce}'
    files = {'cfg': xl_cfg(case, domain, dom0.kernel, cmdline),
             'limits': f'{case.time:.0f} {case.silence:.0f}\n'}
    if case.dump:
        files['dump'] = ''
    try:
        files = dom0.run(f'{case.name}-{nonce}', files, case.time + _SETTLE, screen.feed)
    except Cut as e:
        return verdicts.Verdict('CUT', str(e), lane=lane, faults=[str(e)]), {}
    finally:
        screen.close()
    ended = files.get('ended', b'').decode().strip()
    if lane == 'xl' and 'guest.log' not in files:
        # A host whose xenconsoled keeps no logs: the stream is the next best.
        files['guest.log'] = files.get('stream.log', b'')
    verdict = verdicts.judge(files.get('guest.log', b''), nonce, lane=lane,
                             ended=ended if ended in verdicts.ENDS else 'gone',
                             expect_end=option(cmdline, 'exit'), mem=option(cmdline, 'mem'))
    return prove(verdict, missing_proof(files, domain, ended, verdict)), files


def run(dom0, case, lane, logs, screen, reboots=REBOOTS):
    """
    Runs the guest until every test had its turn: (Verdict, files of the worst boot). The logs go
    to the directory `logs`. `screen` makes the Screen of a boot.
    """
    boots, kept, after = [], [], None
    while True:
        nonce = fresh_nonce()
        words = [f'nonce={nonce}', case.cmdline, f'after={after}' if after else '']
        verdict, files = boot(dom0, case, lane, ' '.join(filter(None, words)), nonce, screen())
        boots.append(verdict)
        kept.append(files)
        keep(logs, files, len(boots))
        after = next_after(verdict, after)
        if not after or len(boots) > reboots:
            merged = verdicts.merge(boots)
            guilty = next(f for v, f in zip(boots, kept) if v.word == merged.word)
            return merged, guilty
        stage(f'{verdicts.verdict_line(verdict)}: running again, after={after}')


def plain_screen(cfg, quiet=False):
    """What makes the Screen of each boot."""
    return lambda: Screen(cfg.verbose, quiet=quiet)
