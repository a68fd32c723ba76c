<?php

// Replaces what Composer would download: Debian's packages of Laravel and php-amqplib, with their dependencies.
require_once '/usr/share/php/Illuminate/autoload.php';
require_once '/usr/share/php/PhpAmqpLib/autoload.php';
