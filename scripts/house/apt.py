# SPDX-License-Identifier: GPL-2.0-or-later
"""A private apt: packages of suites that this machine's own sources do not list.

The system's apt configuration, lists and cache stay untouched: everything that apt
writes lands in the cache. Where to download from is derived from the machine's own
sources, and apt checks the signatures with Debian's archive keyring as usual.
"""
import os
import re
import shutil
import subprocess
from functools import cmp_to_key
from pathlib import Path
from typing import List, Optional, Tuple

from . import paths
from .ui import Failure, Step, output

KEYRING = Path('/usr/share/keyrings/debian-archive-keyring.gpg')
SUITE = 'trixie'        # the release whose QEMU is 10.0
OFFLINE = 'check the network, the proxy and the machine\'s package sources'

_CONF = '''\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::State "{d}/state";
Dir::State::lists "{d}/state/lists";
Dir::State::status "{d}/state/status";
Dir::Cache "{d}/cache";
Dir::Cache::archives "{d}/cache/archives";
Dir::Log "{d}/log";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{d}/etc/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{d}/etc/preferences.d";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "{d}/etc/trusted.gpg.d";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Default-Release "";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "{user}";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
'''


def archives() -> Tuple[str, Optional[str]]:
    """The Debian archive and, if listed, the security archive of this machine."""
    fmt = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)'
    main = security = None
    for line in output(['apt-get', 'indextargets', '--format', fmt,
                        'Identifier: Packages', 'Created-By: Packages']).splitlines():
        uri, release, component, origin = line.split('|')
        uri = uri.rstrip('/')
        if component != 'main' or (origin[:1].isalpha() and origin != 'Debian'):
            continue
        if release.endswith('-security'):
            if uri.endswith('/debian-security'):
                security = security or uri
        elif uri.endswith('/debian'):
            main = main or uri
    if not main:
        raise Failure('this machine\'s package sources name no Debian archive; add one '
                      'to /etc/apt/sources.list.d')
    return main, security


def newest(versions: List[str]) -> Optional[str]:
    def order(a: str, b: str) -> int:
        less = subprocess.run(['dpkg', '--compare-versions', a, 'lt', b], check=False)
        return -1 if less.returncode == 0 else 1
    return max(versions, key=cmp_to_key(order)) if versions else None


def without_epoch(version: str) -> str:
    return version.split(':', 1)[-1]


class PrivateApt:
    """apt with state of its own in the cache; `step` shows and logs what it does."""

    def __init__(self, step: Step):
        self.step = step
        self.dir = paths.APT
        self.conf = self.dir / 'apt.conf'
        self.incomplete = False

    def update(self) -> None:
        """Write the configuration and fetch the signed lists."""
        if not KEYRING.exists():
            self.step.fail(f'{KEYRING} is missing (package debian-archive-keyring)')
        for sub in ('etc/sources.list.d', 'etc/preferences.d', 'etc/trusted.gpg.d',
                    'state/lists/partial', 'cache/archives/partial', 'log'):
            (self.dir / sub).mkdir(parents=True, exist_ok=True)
        (self.dir / 'state/status').touch()
        (self.dir / 'etc/sources.list.d/tdxemu.sources').write_text(self._sources())
        user = 'root' if os.geteuid() == 0 else '_apt'
        self.conf.write_text(_CONF.format(d=self.dir, user=user))
        self._get('update', remedy='apt could not refresh its lists')
        # apt's status does not tell: it uses old lists, or none, in their place.
        self.incomplete = 'Failed to fetch' in self.step.log.read_text(errors='replace')

    def none(self, what: str) -> None:
        """Apt offers nothing of that kind: say whether that is the network's fault."""
        if self.incomplete:
            self.step.fail('the package lists could not be downloaded')
        self.step.remedy = OFFLINE
        self.step.fail(f'apt offers no {what}')

    def _sources(self) -> str:
        main, security = archives()

        def stanza(types: str, uri: str, suites: str) -> str:
            return (f'Types: {types}\nURIs: {uri}\nSuites: {suites}\n'
                    f'Components: main\nSigned-By: {KEYRING}\n')
        text = stanza('deb deb-src', main, f'{SUITE} {SUITE}-updates')
        text += '\n' + stanza('deb', main, f'{SUITE}-backports')
        if security:
            text += '\n' + stanza('deb-src', security, f'{SUITE}-security')
        return text

    def _get(self, *args: str, cwd: Optional[Path] = None, remedy: str) -> None:
        argv = ['apt-get', '-q', '-y', '-c', self.conf, *args]
        if self.step.run(argv, cwd=cwd, check=False):
            self.step.remedy = OFFLINE
            self.step.fail(remedy)

    def source_versions(self, package: str) -> List[str]:
        text = output(['apt-cache', '-c', self.conf, 'showsrc', '--only-source', package])
        return re.findall(r'^Version: (\S+)$', text, re.M)

    def binary_versions(self, package: str) -> List[str]:
        text = output(['apt-cache', '-c', self.conf, 'madison', package])
        return [line.split('|')[1].strip() for line in text.splitlines()
                if 'Packages' in line]

    def names(self, pattern: str) -> List[str]:
        text = output(['apt-cache', '-c', self.conf, 'search', '--names-only', pattern])
        return [line.split()[0] for line in text.splitlines() if line]

    def source(self, package: str, version: str) -> Path:
        """Download a source package; the directory that holds it."""
        return self._fetch(package, version, ['source', '--download-only',
                                              '--only-source', f'{package}={version}'])

    def binary(self, package: str, version: str) -> Path:
        """Download a binary package; the directory that holds it."""
        return self._fetch(package, version, ['download', f'{package}={version}'])

    def _fetch(self, package: str, version: str, args: List[str]) -> Path:
        done = paths.DOWNLOADS / f'{package}_{without_epoch(version)}'
        if done.is_dir():
            return done
        part = done.with_name(done.name + '.part')     # apt resumes what is there
        part.mkdir(parents=True, exist_ok=True)
        need_room(paths.DOWNLOADS, 1, 'downloads')
        self._get(*args, cwd=part, remedy=f'{package} {version} could not be downloaded')
        part.rename(done)
        return done


def downloaded(package: str, version_start: str) -> Optional[Path]:
    """The newest download of a package whose version starts so, None without one."""
    found = {d.name[len(package) + 1:]: d for d in paths.DOWNLOADS.glob(f'{package}_*')
             if not d.name.endswith('.part') and d.is_dir()
             and d.name[len(package) + 1:].startswith(version_start)}
    best = newest(list(found))
    return found[best] if best else None


def damaged(step: Step, download: Path) -> None:
    """A download that does not unpack is of no use: the next run fetches it afresh."""
    shutil.rmtree(download)
    step.remedy = 'it is removed; run the same again to fetch it afresh'
    step.fail(f'the download of {download.name} is damaged')


def need_room(where: Path, gigabytes: int, what: str) -> None:
    free = shutil.disk_usage(where).free >> 30
    if free < gigabytes:
        raise Failure(f'{what} need {gigabytes} GB below {where}, only {free} GB are '
                      'free; make room or set XDG_CACHE_HOME')
